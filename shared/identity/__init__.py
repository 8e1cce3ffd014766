"""Who asks: people who sign in at an issuer of OpenID Connect, and clinic systems that bring its tokens."""
