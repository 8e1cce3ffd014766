"""Dead letters: records that a consumer could not decode, stored byte for byte until a person resolves them."""
