//! Tokens for Git hosts and clouds.
