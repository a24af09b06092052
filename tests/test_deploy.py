"""The files of deploy/: what they name exists, and the programs that read them accept them."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from prometheus_client import REGISTRY

from voucherpool.__main__ import main
from voucherpool.config import checkout

deploy = checkout / "deploy"
compose_files = [checkout / "docker-compose.yml", deploy / "docker-compose.yml"]
units = sorted(deploy.glob("*.service"))


def path_of(program):
    """Return the path of a program, also of one that only root finds; None if there is none."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def installed(program):
    """Return a mark that skips a test where the program is not installed."""
    return pytest.mark.skipif(path_of(program) is None, reason=f"{program} is not installed")


def run(program, *arguments):
    finished = subprocess.run([path_of(program), *arguments], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


@pytest.mark.parametrize("name", ["alerts.yml", "dashboard.json"])
def test_alerts_and_dashboard_name_series_that_exist(name):
    known = {sample.name for metric in REGISTRY.collect() for sample in metric.samples}
    known |= {
        f"{metric.name}{suffix}"
        for metric in REGISTRY.collect()
        for suffix in {"counter": ["_total"], "histogram": ["_bucket", "_count"]}.get(
            metric.type, [""]
        )
    }
    named = set(re.findall(r"\bvoucherpool_[a-z_]+", (deploy / name).read_text()))
    assert len(named) > 5
    assert named <= known


def test_every_alert_says_what_it_means_and_what_to_do():
    rules = yaml.safe_load((deploy / "alerts.yml").read_text())["groups"][0]["rules"]
    assert len(rules) > 10
    for rule in rules:
        assert set(rule["annotations"]) == {"summary", "action"}


@installed("promtool")
def test_prometheus_accepts_the_alerts():
    assert "SUCCESS" in run("promtool", "check", "rules", deploy / "alerts.yml")


def test_the_dashboard_has_a_query_in_each_panel():
    panels = json.loads((deploy / "dashboard.json").read_text())["panels"]
    assert len(panels) == len({panel["title"] for panel in panels})
    assert all(target["expr"] for panel in panels for target in panel["targets"])


@pytest.mark.parametrize("unit", units, ids=lambda unit: unit.name)
def test_each_unit_runs_a_command_that_exists(unit):
    [command] = re.findall(r"^ExecStart=\S+/voucherpool (\w+)", unit.read_text(), re.MULTILINE)
    assert command in main.commands


@installed("systemd-analyze")
@pytest.mark.parametrize("unit", units, ids=lambda unit: unit.name)
def test_systemd_accepts_each_unit(unit, tmp_path):
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/voucherpool/bin/voucherpool", "/bin/sh"))
    assert run("systemd-analyze", "verify", copy) == ""


@installed("nginx")
def test_nginx_accepts_the_site(tmp_path):
    run(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"),
        *("-keyout", tmp_path / "key", "-out", tmp_path / "pem"),
    )
    site = (deploy / "nginx.conf").read_text()
    site = re.sub(r"/etc/ssl/\S+\.(pem|key)", rf"{tmp_path}/\1", site)
    site = site.replace("/var/log/nginx/", f"{tmp_path}/")
    (tmp_path / "site.conf").write_text(site)
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; events {{}} http {{ include {tmp_path}/site.conf; }}"
    )
    run("nginx", "-t", "-e", tmp_path / "log", "-c", tmp_path / "nginx.conf")


@installed("caddy")
def test_caddy_accepts_the_site(tmp_path):
    site = (deploy / "Caddyfile").read_text()
    if re.match(r"v?2\.[0-6]\.[0-3]\b", run("caddy", "version")):
        site = site.replace("request_buffers", "buffer_requests #")  # its name before 2.6.4
    (tmp_path / "Caddyfile").write_text(site)
    run("caddy", "adapt", "--adapter", "caddyfile", "--config", tmp_path / "Caddyfile")


@pytest.mark.parametrize("file", compose_files, ids=lambda file: file.parent.name)
def test_a_compose_file_passes_on_settings_that_are_documented(file):
    services = yaml.safe_load(file.read_text())["services"]
    assert {"db", "migrate", "web", "worker"} <= set(services)
    documented = (checkout / "docs" / "operations.md").read_text()
    for name in services["web"]["environment"]:
        assert f"`{name}`" in documented or name.startswith("DATABASE_"), name


def test_the_cluster_in_containers_joins_each_machine_before_it_is_migrated():
    services = yaml.safe_load((checkout / "docker-compose.citus.yml").read_text())["services"]
    machines = {name for name in services if name.startswith("machine-")}
    joined = re.findall(r"citus_add_node\('(.+?)', 5432\)", " ".join(services["join"]["command"]))
    assert {*joined} == machines
    assert {*services["join"]["depends_on"]} == machines | {"db"}
    assert "join" in services["migrate"]["depends_on"]
    assert (
        services["migrate"]["command"][-1] == "voucherpool db upgrade && voucherpool db distribute"
    )


def test_the_production_set_plants_no_seeds_and_keeps_secrets_in_files():
    file = yaml.safe_load((deploy / "docker-compose.yml").read_text())
    assert "seed" not in json.dumps(file["services"])
    for name, secret in file["secrets"].items():
        assert secret == {"file": f"secrets/{name}"}
    owner = file["services"]["migrate"]["environment"]["DATABASE_ROLE"]
    assert owner != file["services"]["web"]["environment"]["DATABASE_ROLE"]


def test_the_container_hands_the_secrets_to_the_program(tmp_path):
    service = yaml.safe_load((deploy / "docker-compose.yml").read_text())["services"]["web"]
    *shell, script, name = service["entrypoint"]
    (tmp_path / "service_password").write_text("pass\n")
    (tmp_path / "secret_key").write_text("key\n")
    script = script.replace("$$", "$").replace("/run/secrets", str(tmp_path))
    program = "import os; print(os.environ['DATABASE_URL'], os.environ['VOUCHERPOOL_SECRET_KEY'])"
    finished = subprocess.run(
        [*shell, script, name, sys.executable, "-c", program],
        env={
            "DATABASE_ROLE": "voucherpool",
            "DATABASE_PASSWORD": "service_password",
            "PATH": os.environ["PATH"],
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout == "postgresql://voucherpool:pass@db:5432/voucherpool key\n"
