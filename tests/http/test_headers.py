"""Headers for browsers and caches."""

import pytest


@pytest.mark.parametrize("path", ["/livez", "/vouchers", "/nowhere", "/readyz"])
def test_every_answer_forbids_caches_frames_and_guesses_at_its_type(anonymous, path):
    headers = anonymous.get(path).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_the_page_may_run_its_own_scripts_alone(anonymous):
    policy = anonymous.get("/docs").headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "script-src 'self' 'unsafe-inline'" not in policy
    with anonymous.get("/docs/assets/swagger-ui.css") as asset:
        assert "max-age" in asset.headers["Cache-Control"]
