"""Special offers, each with a name and one current discount."""
