//! Git over the wire and from a bare object cache: ls-refs, fetch, walk a tree.
