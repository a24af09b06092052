"""The files of deploy/: what they name exists, and the programs that read them accept them."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from functools import partial
from importlib.metadata import version
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from prometheus_client import REGISTRY
from sqlalchemy import text

from voucherpool.__main__ import main
from voucherpool.config.settings import Config, checkout
from voucherpool.database.model import db

deploy = checkout / "deploy"
compose = "docker-compose.yml"
compose_files = [checkout / compose, deploy / compose]
manifests = sorted((deploy / "kubernetes").glob("*.yaml"))
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


@pytest.mark.parametrize("manifest", manifests, ids=lambda manifest: manifest.name)
def test_kubernetes_accepts_each_manifest(manifest):
    kubernetes_validate.validate(yaml.safe_load(manifest.read_text()), "1.34", strict=True)


def test_the_manifests_run_commands_that_exist_with_settings_that_are_documented():
    assert len(manifests) == 5
    documented = (checkout / "docs" / "operations.md").read_text()
    secret = yaml.safe_load((deploy / "kubernetes" / "secret.yaml").read_text())
    for name in ("web", "worker", "migrate"):
        manifest = yaml.safe_load((deploy / "kubernetes" / f"{name}.yaml").read_text())
        pod = manifest["spec"]["template"]
        [container] = pod["spec"]["containers"]
        program, command, *_ = container["command"]
        assert program == "voucherpool"
        assert command in main.commands
        for variable in container["env"]:
            assert f"`{variable['name']}`" in documented
            if "valueFrom" in variable:
                assert variable["valueFrom"]["secretKeyRef"]["key"] in secret["stringData"]
        if name != "migrate":
            assert manifest["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    service = yaml.safe_load((deploy / "kubernetes" / "service.yaml").read_text())
    assert service["spec"]["selector"] == {"app": "voucherpool", "part": "web"}


def test_pages_and_manifests_name_the_version_of_the_release():
    for file in (checkout / "docs" / "operations.md", *manifests):
        for named in re.findall(r"voucherpool[:-](\d+\.\d+\.\d+)", file.read_text()):
            assert named == version("voucherpool"), file.name


@installed("nginx")
def test_nginx_accepts_the_site(tmp_path):
    run(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"),
        *("-keyout", tmp_path / "key", "-out", tmp_path / "pem"),
    )
    site = (deploy / "nginx.conf").read_text()
    site = re.sub(r"/etc/ssl/\S+\.(pem|key)", rf"{tmp_path}/\1", site)
    site = site.replace("/var/log/nginx/", f"{tmp_path}/")
    site = re.sub(r"(listen \S*?)(80|443)\b", r"\g<1>1\2", site)  # those need root to bind
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
    services = yaml.safe_load((deploy / "docker-compose.citus.yml").read_text())["services"]
    machines = {name for name in services if name.startswith("machine-")}
    joined = re.findall(r"citus_add_node\('(.+?)', 5432\)", " ".join(services["join"]["command"]))
    assert {*joined} == machines
    assert {*services["join"]["depends_on"]} == machines | {"db"}
    assert "join" in services["migrate"]["depends_on"]
    assert (
        services["migrate"]["command"][-1] == "voucherpool db upgrade && voucherpool db distribute"
    )


def production():
    return yaml.safe_load((deploy / compose).read_text())


def test_the_production_set_loads_no_seeds_and_keeps_secrets_in_files():
    file = production()
    assert "seed" not in json.dumps(file["services"])
    for name, secret in file["secrets"].items():
        assert secret == {"file": f"secrets/{name}"}
    for service in file["services"].values():
        named = re.findall(r"\w+=(\w+)", " ".join(service.get("entrypoint", [])))
        assert set(named or ["owner_password"]) == set(service["secrets"])
    owner = file["services"]["migrate"]["environment"]["DATABASE_URL"]
    assert owner != file["services"]["web"]["environment"]["DATABASE_URL"]


not_passed_on = {
    *("DATABASE_URL", "VOUCHERPOOL_SECRET_KEY"),  # made of the secrets
    "PORT",  # the container's own
    # The worker does not own the tables.
    *("VOUCHERPOOL_ARCHIVE_OLDER_THAN", "VOUCHERPOOL_PURGE_OLDER_THAN"),
    "VOUCHERPOOL_TOLERATE_OFF",  # for tests
}


def test_the_production_set_passes_on_each_setting_and_shows_the_workers_metrics():
    page = (checkout / "docs" / "operations.md").read_text()
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))
    worker = production()["services"]["worker"]
    assert documented - not_passed_on == set(worker["environment"]) - {"DATABASE_URL"}
    assert worker["environment"]["VOUCHERPOOL_WORKER_METRICS"] == "0.0.0.0:9100"
    assert worker["ports"] == ["127.0.0.1:${WORKER_METRICS_PORT:-9100}:9100"]


user = {"user": 10001, "group": 10001, "extra_groups": []} if os.geteuid() == 0 else {}
"""The user of the image; who is not root can only be the same user inside and outside."""


@pytest.fixture(params=[0o022, 0o077])
def secrets(request):
    """Return the folder of a container's secrets, which were made as the file's header says."""
    header = re.findall(r"^#   ((?:mkdir|openssl|chmod) .*)", (deploy / compose).read_text(), re.M)
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o755)  # tmp_path would let no other user in
        commands = ["set -e", f"umask {request.param:o}", "mkdir deploy", *header]
        subprocess.run([path_of("sh"), "-c", "\n".join(commands)], cwd=home, check=True)
        made = Path(home, "deploy", "secrets")
        assert made.stat().st_mode & 0o777 == 0o700
        mounted = Path(home, "mounted")  # as Compose does: under another folder, as they are
        mounted.mkdir(mode=0o755)
        mounted.chmod(0o755)
        for file in made.iterdir():
            file.rename(mounted / file.name)
        yield mounted


def run_in_container(service, secrets, *command, environ=None, user=user):
    """Run a command behind the entrypoint of a service, as the user of our image."""
    shell, script, *secret_names = service["entrypoint"]
    source = (deploy / Path(script).name).read_text().replace("/run/secrets", str(secrets))
    return subprocess.run(
        [shell, "-c", source, script, *secret_names, *command],
        env={"PATH": os.environ["PATH"], **(environ or {})},
        cwd="/",
        capture_output=True,
        text=True,
        **user,
    )


show = ("sh", "-c", "echo $PGPASSWORD $VOUCHERPOOL_SECRET_KEY")


@installed("openssl")
@pytest.mark.parametrize(
    ("name", "password"), [("web", "service_password"), ("migrate", "owner_password")]
)
def test_secrets_that_were_made_as_the_header_says_reach_the_program(secrets, name, password):
    service = production()["services"][name]
    ended = run_in_container(service, secrets, *show)
    assert (ended.returncode, ended.stderr) == (0, "")
    shown_password, key = ended.stdout.split()
    assert shown_password == (secrets / password).read_text().strip()
    url = service["environment"]["DATABASE_URL"]
    config = Config.from_environment({"DATABASE_URL": url, "VOUCHERPOOL_SECRET_KEY": key})
    assert config.secret_keys == (key,)


@installed("openssl")
@pytest.mark.parametrize("name", ["web", "worker", "migrate"])
@pytest.mark.parametrize("harm", ["unreadable", "empty", "blank", "missing"])
def test_a_secret_that_is_empty_or_cannot_be_read_stops_the_start(secrets, name, harm):
    file = secrets / "secret_key"
    if harm == "unreadable":
        file.chmod(0o600 if user else 0o000)
    elif harm == "missing":
        file.unlink()
    else:
        file.chmod(0o644)
        file.write_text("" if harm == "empty" else "\n")
    ended = run_in_container(production()["services"][name], secrets, *show)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Error: the secret secret_key is empty, or user" in ended.stderr


@pytest.fixture
def own_sql(own_app):
    """Return a function that runs a statement on the test's own database."""

    def statement(sql, **values):
        with own_app.app_context(), db.engine.begin() as connection:
            result = connection.execute(text(sql), values)
            return result.all() if result.returns_rows else None

    return statement


@pytest.fixture
def roles(own_app, own_sql, secrets):
    """Make an owner; return both roles, and a function that runs roles.sql with their names."""
    owner, serving = (f"{name}_{os.getpid()}" for name in ("owner", "serving"))
    own_sql(f"CREATE ROLE {owner} LOGIN SUPERUSER PASSWORD 'pass'")
    (secrets / "owner_password").chmod(0o644)
    (secrets / "owner_password").write_text("pass")
    statements = (deploy / "roles.sql").read_text()
    for name, own in (("voucherpool_owner", owner), ("voucherpool", serving)):
        statements = re.sub(rf"\b{name}\b", own, statements)
    (secrets / "roles.sql").write_text(statements)
    service = production()["services"]["roles"]
    command = [word.replace("/roles.sql", f"{secrets}/roles.sql") for word in service["command"]]
    url = own_app.config["SQLALCHEMY_DATABASE_URI"]
    environ = {"PGHOST": url.query["host"], "PGPORT": url.query["port"]}
    environ |= {"PGDATABASE": url.database, "PGUSER": owner}
    # PostgreSQL's image runs it as root, who may reach the tests' socket too.
    yield (
        owner,
        serving,
        partial(run_in_container, service, secrets, *command, environ=environ, user={}),
    )
    for role in (serving, owner):
        if own_sql("SELECT FROM pg_roles WHERE rolname = :role", role=role):
            own_sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


@installed("openssl")
@installed("psql")
@pytest.mark.one_machine("makes roles")
def test_the_serving_role_gets_its_password_and_rights_and_never_an_empty_one(
    roles, secrets, own_sql
):
    owner, serving, make = roles
    (secrets / "service_password").rename(secrets / "kept")
    (secrets / "service_password").touch()
    assert make().returncode == 1
    found = "SELECT rolcanlogin, rolpassword IS NULL FROM pg_authid WHERE rolname = :role"
    assert own_sql(found, role=serving) == []
    (secrets / "kept").rename(secrets / "service_password")
    for _ in range(2):
        ended = make()
        assert (ended.returncode, ended.stderr) == (0, "")
    assert own_sql(found, role=serving) == [(True, False)]
    own_sql(f"SET ROLE {owner}; CREATE TABLE of_owner (); RESET ROLE")
    may = "SELECT has_table_privilege(:role, 'of_owner', :right)"
    rights = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
    allowed = [own_sql(may, role=serving, right=right)[0][0] for right in rights]
    assert allowed == [True] * 4 + [False]
