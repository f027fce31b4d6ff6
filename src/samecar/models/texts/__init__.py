"""What learns of pictures by texts: the prompts, and the tower that reads them."""
