"""Input from outside: fields, schemas, formats, strict JSON, and the normal form of an e-mail."""
