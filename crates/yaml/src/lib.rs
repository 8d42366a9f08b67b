//! YAML as the Go stack sees it: an ordered node tree that keeps scalar text, style and comments.
