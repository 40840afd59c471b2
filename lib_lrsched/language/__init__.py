"""From a text to a tree: tokenizer, parser, and what is said of characters and names that were not meant."""
