"""The door: who may come in, what a body may hold, and what the API says of itself."""
