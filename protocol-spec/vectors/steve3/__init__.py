"""An implementation of SPEC.md for checking test vectors and live proxies. Not for production use."""
