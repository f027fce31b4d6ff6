"""What networks are made of: each file has one kind of layer, or one change to a backbone."""
