"""One file a dialect: each defines ``DIALECT``. A file that is added here is found; nothing lists them."""
