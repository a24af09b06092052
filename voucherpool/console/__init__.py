"""The console: pages on which support and marketing do by hand what programs do by the API."""
