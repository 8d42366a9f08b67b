//! Streams, documents and directives.

use super::cursor::Mark;
use super::token::TokenKind;
use super::tree::{Context, Parser, parser_error};
use crate::{Error, Node};

impl Parser<'_> {
    /// All documents.
    pub fn stream(&mut self) -> Result<Vec<Node>, Error> {
        self.peek()?;
        self.skip();
        let mut documents = Vec::new();
        loop {
            if !documents.is_empty() {
                while matches!(self.peek()?.kind, TokenKind::DocumentEnd) {
                    self.skip();
                }
            }
            if matches!(self.peek()?.kind, TokenKind::StreamEnd) {
                return Ok(documents);
            }
            if documents.len() >= self.limits.documents {
                let line = self.peek()?.start.line + 1;
                return Err(Error::Limit { line, what: "documents", limit: self.limits.documents });
            }
            let first = documents.is_empty();
            documents.push(self.document(first)?);
        }
    }

    /// The first document, if there is one. What is behind it is not looked at.
    pub fn first(&mut self) -> Result<Option<Node>, Error> {
        self.peek()?;
        self.skip();
        match self.peek()?.kind {
            TokenKind::StreamEnd => Ok(None),
            _ => self.document(true).map(Some),
        }
    }

    fn document(&mut self, may_be_bare: bool) -> Result<Node, Error> {
        self.anchors.clear();
        let bare = may_be_bare
            && !matches!(
                self.peek()?.kind,
                TokenKind::VersionDirective { .. }
                    | TokenKind::TagDirective { .. }
                    | TokenKind::DocumentStart
            );
        let mut head = String::new();
        let mut root = if bare {
            head = self.split_document_head();
            self.node(Context::Block)?
        } else {
            self.directives()?;
            let token = self.peek()?;
            if !matches!(token.kind, TokenKind::DocumentStart) {
                return Err(parser_error(
                    Mark::default(),
                    token.start,
                    "did not find expected <document start>",
                ));
            }
            self.skip();
            let token = self.peek()?;
            match token.kind {
                TokenKind::VersionDirective { .. }
                | TokenKind::TagDirective { .. }
                | TokenKind::DocumentStart
                | TokenKind::DocumentEnd
                | TokenKind::StreamEnd => {
                    let mark = token.start;
                    self.empty(mark)?
                }
                _ => self.node(Context::Block)?,
            }
        };
        if matches!(self.peek()?.kind, TokenKind::DocumentEnd) {
            self.skip();
        }
        self.tags.clear();
        let end = self.take_comments().unwrap_or_default();
        let foot = if end.foot.is_empty() { end.head } else { end.foot };
        if !head.is_empty() || !foot.is_empty() {
            let comments = root.comments_mut();
            comments.document_head = head;
            comments.document_foot = foot;
        }
        Ok(root)
    }

    /// Of the comments above a document's first node, those before the last empty line concern the document.
    fn split_document_head(&mut self) -> String {
        let Some(comments) = &mut self.comments else { return String::new() };
        let (document, node) = if let Some(document) = comments.head.strip_suffix('\n') {
            (document.to_owned(), String::new())
        } else if let Some((document, node)) = comments.head.rsplit_once("\n\n") {
            (document.to_owned(), node.to_owned())
        } else {
            return String::new();
        };
        comments.head = node;
        document
    }

    fn directives(&mut self) -> Result<(), Error> {
        let mut has_version = false;
        loop {
            let token = self.peek()?;
            let start = token.start;
            match &token.kind {
                TokenKind::VersionDirective { .. } if has_version => {
                    return Err(parser_error(Mark::default(), start, "found duplicate %YAML directive"));
                }
                TokenKind::VersionDirective { major: 1, minor: 1 } => has_version = true,
                TokenKind::VersionDirective { .. } => {
                    return Err(parser_error(Mark::default(), start, "found incompatible YAML document"));
                }
                TokenKind::TagDirective { handle, prefix } => {
                    let (handle, prefix) = (*handle, prefix.clone());
                    if self.tags.insert(handle, prefix).is_some() {
                        return Err(parser_error(Mark::default(), start, "found duplicate %TAG directive"));
                    }
                }
                _ => break,
            }
            self.skip();
        }
        Ok(())
    }
}
