//! Where the prompt cache of a conversation is warm.
