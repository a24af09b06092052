"""Special offers: each has a name and one current discount."""
