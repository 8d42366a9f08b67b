//! CRD types of the GitOps Toolkit: the wire format and nothing else.
