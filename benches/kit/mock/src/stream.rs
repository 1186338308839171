//! Answers in events.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use clock::now_ns;
use hyper::body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use crate::Api;
use crate::state::State;

const ANTHROPIC_HEAD: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_mock123\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-3-5-haiku-20241022\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":400,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n";

/// The body of a streamed answer: a head where the API has one, events with text, a tail.
pub struct Events {
    state: Rc<State>,
    api: Api,
    phase: Phase,
    chunks: usize,
    gap: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

enum Phase {
    Head,
    Text(usize),
    Done,
}

impl Events {
    /// A stream as the settings are now.
    pub fn new(state: Rc<State>, api: Api) -> Self {
        state.opened();
        Self { chunks: state.chunks.get(), gap: state.gap.get(), state, api, phase: Phase::Head, pause: None }
    }

    /// Waits for the gap since the last event, counted from when that one was due: the pace does not drift.
    fn poll_pause(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.gap.is_zero() {
            return Poll::Ready(());
        }
        let gap = self.gap;
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(gap)));
        ready!(pause.as_mut().poll(context));
        let next = pause.deadline() + gap;
        pause.as_mut().reset(next);
        Poll::Ready(())
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.state.closed();
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match (&self.phase, self.api) {
            (Phase::Head, Api::Anthropic) => {
                self.phase = Phase::Text(0);
                Bytes::from_static(ANTHROPIC_HEAD.as_bytes())
            }
            (Phase::Head, Api::OpenAi) => {
                self.phase = Phase::Text(1);
                text(self.api, true)
            }
            (&Phase::Text(sent), _) if sent < self.chunks => {
                if sent > 0 {
                    ready!(self.poll_pause(context));
                }
                self.phase = Phase::Text(sent + 1);
                text(self.api, false)
            }
            (Phase::Text(_), _) => {
                self.phase = Phase::Done;
                tail(self.api, self.chunks)
            }
            (Phase::Done, _) => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

fn text(api: Api, first: bool) -> Bytes {
    let now = now_ns();
    Bytes::from(match api {
        Api::OpenAi => {
            let role = if first { r#""role":"assistant","# } else { "" };
            format!(
                "data: {{\"id\":\"chatcmpl-mock123\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o-mini\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock\",\"choices\":[{{\"index\":0,\"delta\":{{{role}\"content\":\"t={now:019} tok\"}},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
            )
        }
        Api::Anthropic => format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"t={now:019} tok\"}}}}\n\n"
        ),
    })
}

fn tail(api: Api, tokens: usize) -> Bytes {
    Bytes::from(match api {
        Api::OpenAi => format!(
            "data: {{\"id\":\"chatcmpl-mock123\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o-mini\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock\",\"choices\":[{{\"index\":0,\"delta\":{{}},\"logprobs\":null,\"finish_reason\":\"stop\"}}]}}\n\ndata: {{\"id\":\"chatcmpl-mock123\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o-mini\",\"choices\":[],\"usage\":{{\"prompt_tokens\":400,\"completion_tokens\":{tokens},\"total_tokens\":{}}}}}\n\ndata: [DONE]\n\n",
            tokens + 400
        ),
        Api::Anthropic => format!(
            "event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":0}}\n\nevent: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"end_turn\",\"stop_sequence\":null}},\"usage\":{{\"output_tokens\":{tokens}}}}}\n\nevent: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"
        ),
    })
}
