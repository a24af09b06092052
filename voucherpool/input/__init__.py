"""Input from outside: types of fields, formats, strict JSON, and the normal form of an e-mail."""
