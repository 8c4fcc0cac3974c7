//! The responder without a socket, for the fuzz target.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::serve::{TokenTable, connection};
use crate::challenge::Token;

/// What the responder answers for the only token that it knows, `known-Token_1`.
pub const KEY_AUTHORIZATION: &str = "known-Token_1.thumb";

/// Everything that the responder says to a stranger who sends `request` and then nothing more.
pub async fn answer_request(request: &[u8]) -> Vec<u8> {
    let tokens = Arc::new(TokenTable::default());
    if let Ok(token) = Token::parse("known-Token_1") {
        let _ = tokens.add(&token, KEY_AUTHORIZATION);
    }
    let (near, far) = tokio::io::duplex(1 << 16);
    let (mut reader, mut writer) = tokio::io::split(near);
    let asking = async {
        let _ = writer.write_all(request).await;
        let _ = writer.shutdown().await;
    };
    let mut said = Vec::new();
    let _ = tokio::join!(connection(far, tokens), asking, reader.read_to_end(&mut said));
    said
}
