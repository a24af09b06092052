"""The API's documentation: the OpenAPI document, its examples, and the page to try them on."""
