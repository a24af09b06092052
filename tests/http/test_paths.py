"""Paths that lead nowhere: 404, never a 500, and no redirect that repeats a body in the clear."""

import pytest

from tests.http.test_authentication import address_of


def paths(client):
    return {
        address_of(path, operation)
        for path, item in client.get("/openapi.json").json["paths"].items()
        for operation in item.values()
    }


def doubled(path):
    """Return the path with each of its slashes doubled in turn, and with one more at its end."""
    places = [place for place, sign in enumerate(path) if sign == "/"]
    return [f"{path[:place]}/{path[place:]}" for place in places] + [f"{path}/"]


def test_a_slash_too_many_is_404_and_leads_nowhere(client):
    for path in [*paths(client), "/docs", "/docs/assets/swagger-ui.css"]:
        for wrong in doubled(path):
            for method in ("GET", "POST"):
                answer = client.open("/", environ_overrides={"PATH_INFO": wrong}, method=method)
                assert (answer.status_code, answer.json["code"]) == (404, "not_found"), wrong
                assert "Location" not in answer.headers


@pytest.mark.parametrize(
    "name",
    ["x" * 300, "x" * 5000, "x%00", "%FF", "a/" * 3000, "..", "../page.py", "%2e%2e/page.py", "."],
    ids=lambda name: name[:9],
)
def test_an_asset_that_does_not_exist_is_404(anonymous, name):
    answer = anonymous.get(f"/docs/assets/{name}")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
