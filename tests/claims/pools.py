"""Fills pools, and looks at who got what out of them."""

from tests.builders import ana


def fill(sql, count, first=1):
    """Put so many unbound vouchers into the pool of the offer KOI; the lower, the sooner over."""
    sql("INSERT INTO offers (name, discount) VALUES ('KOI', 10) ON CONFLICT DO NOTHING")
    sql(
        "INSERT INTO vouchers (code_key, code, offer_id, expires_at)"
        " SELECT upper(left(md5(n::text), 16)), upper(left(md5(n::text), 16)), id,"
        " now() + interval '30 days' + n * interval '1 minute'"
        " FROM offers, generate_series(:first, :last) AS n WHERE name = 'KOI' ORDER BY n",
        first=first,
        last=first + count - 1,
    )
    sql(
        "INSERT INTO offer_counts (offer_id, day, slot, issued)"
        " SELECT id, (now() AT TIME ZONE 'UTC')::date, -1, :count FROM offers WHERE name = 'KOI'"
        " ON CONFLICT (offer_id, day, slot) DO UPDATE SET issued = offer_counts.issued + :count",
        count=count,
    )


def body(email=ana, **more):
    """Return the body of a claim."""
    return {"email": email, "offer_name": "KOI"} | more
