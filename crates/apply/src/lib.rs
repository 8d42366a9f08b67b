//! Server-side apply: order, stages, inventory, change sets, prune, health verdicts, and the thin client edge.
