"""Tables as files: the formats in which a protected table leaves, with its method note."""
