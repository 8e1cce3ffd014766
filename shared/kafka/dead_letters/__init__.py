"""Dead letters: records that a consumer could not decode or handle, stored byte for byte until they are resolved."""
