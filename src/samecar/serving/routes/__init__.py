"""What the service answers to, one module for each part of the API."""
