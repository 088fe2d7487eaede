"""A file or a dataset's name -> prepared sequences, with where they came from."""
