//! Signatures of Git commits and tags.
