"""The errors of offers."""

from voucherpool.errors import Conflict, NotFound


class OfferNotFound(NotFound):
    detail = "No offer has this id or name."


class OfferExists(Conflict):
    detail = "An offer with this name exists."


class OfferNameSimilar(Conflict):
    detail = (
        'An offer has a name that looks like this one. Use it, or send "allow_similar_name": true.'
    )


class OfferDiscountDiffers(Conflict):
    detail = (
        "The offer's discount is locked and differs from the one you sent."
        " Omit `discount`, or change the offer."
    )


class OfferNotPercentage(Conflict):
    detail = "This offer gives a fixed amount; generate can only set percentages."
