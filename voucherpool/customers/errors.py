"""The errors of customers."""

from voucherpool.errors import Conflict, NotFound


class CustomerNotFound(NotFound):
    detail = "No customer has this e-mail or id."


class CustomerExists(Conflict):
    detail = "A customer with this e-mail exists."
