"""From a recipe and a source to a trained, scored model: the one place where everything is put together."""
