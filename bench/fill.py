"""Vouchers whose codes and customers follow from a number, so that load.lua can name them.

Neighbouring numbers have distant codes and are used in strides, so each request reads other pages
of the table and its indexes, as in a shop.
"""

from dataclasses import dataclass

import flask_migrate
from sqlalchemy.engine import URL

from bench import home
from voucherpool import create_app
from voucherpool.apikeys import service as apikeys
from voucherpool.config.settings import Config
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.vouchers import schemas

# Lua numbers are exact below 2**53, so numbers below 2**24 times the factor are.
factor, modulus = 387_420_489, 2_147_483_647  # 3**18, and a prime
stride = 7919  # a prime that divides no group's count

hot_code, limited_code = "HBENCHMARKED", "NBENCHMARKED"

customers = """
    INSERT INTO customers (email, email_key) SELECT email, email
    FROM (SELECT lower('{letter}') || n || '@example.org' AS email
        FROM generate_series(0::bigint, {people} - 1) AS n ORDER BY n) AS new"""
offer = "INSERT INTO offers (name, discount) VALUES ('{letter}', 22.1)"
vouchers = """
    INSERT INTO vouchers (code_key, code, offer_id, customer_id, expires_at)
    SELECT code, code, offer_id, first + n / {per_customer}, expires_at
    FROM (SELECT n, '{letter}' || lpad((n * {factor} % {modulus})::text, 11, '0') AS code,
            (SELECT id FROM offers WHERE name = '{letter}') AS offer_id,
            (SELECT min(id) FROM customers WHERE email_key = '{first}') AS first,
            now() + (10 + n % 365) * interval '1 day' AS expires_at
        FROM generate_series(0::bigint, {count} - 1) AS n ORDER BY n) AS new"""
hot = """
    INSERT INTO vouchers (code_key, code, offer_id, expires_at, max_redemptions)
    SELECT '{code}', '{code}', id, now() + interval '90 days', 1000000000
    FROM offers WHERE name = '{letter}'"""
limit = "UPDATE offers SET max_redemptions_per_customer = 1000000 WHERE name = 'N'"


@dataclass(frozen=True)
class Group:
    """Vouchers of one kind; their codes begin with `letter`, which is also the offer's name.

    Each customer gets the next `per_customer` of them; None leaves them in the pool.
    """

    letter: str
    count: int
    per_customer: int | None = 1

    def code(self, number: int) -> str:
        """Return a voucher's code."""
        return f"{self.letter}{number * factor % modulus:011}"

    def email(self, number: int) -> str:
        """Return the e-mail of a voucher's customer."""
        return f"{self.letter.lower()}{number // (self.per_customer or 1)}@example.org"

    def statements(self) -> list[str]:
        """Return the SQL that makes the offer, the customers and the vouchers."""
        values = {
            "letter": self.letter,
            "count": self.count,
            "per_customer": self.per_customer or 1,
            "people": self.count // (self.per_customer or self.count),
            "first": self.email(0) if self.per_customer else "",
            "factor": factor,
            "modulus": modulus,
        }
        made = [offer, customers, vouchers] if self.per_customer else [offer, vouchers]
        return [statement.format(**values) for statement in made]


def prepare(database: URL, *groups: Group) -> str:
    """Build the schema, add the groups' vouchers and a hot one, and return an API key."""
    with create_app(Config(database)).app_context():
        flask_migrate.upgrade()
        with transaction():
            key = apikeys.create("bench", apikeys.scopes)
        db.engine.dispose()
    # Skip the checks of foreign keys: the statements create all that they refer to.
    settings = "SET session_replication_role = replica"
    statements = [statement for group in groups for statement in group.statements()]
    for code in (hot_code, limited_code):
        values = {"letter": code[0], "code": code}
        statements += [offer.format(**values), hot.format(**values)]
    # No checkpoint may follow: after it the first change of each page is written whole, which would
    # dominate a short run.
    home.execute(database, settings, *statements, limit, "VACUUM ANALYZE")
    return key


def cursor(database: URL, group: Group, customer: int, page: int, size: int = 100) -> str:
    """Return the cursor of a page of a customer's list."""
    where = f"customer_id = (SELECT id FROM customers WHERE email_key = '{group.email(customer)}')"
    last = f"""SELECT expires_at, issue_number FROM vouchers WHERE {where}
        ORDER BY expires_at, issue_number LIMIT 1 OFFSET {(page - 1) * size - 1}"""
    [position] = home.execute(database, last)
    return str(schemas.ListRequest().dump({"cursor": position})["cursor"])
