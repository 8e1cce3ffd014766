"""Dead letters: records that a consumer could not decode, kept byte for byte until somebody resolves them."""
