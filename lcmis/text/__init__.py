"""Language models: an address or weights of one's own, what they are asked, what is kept."""
