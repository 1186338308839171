//! An upstream on bytes: reads requests, and does with the socket what the script says.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::speech::{Tongue, Usage, tag_in};

/// A request as the upstream understood it.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The number in its prompt.
    pub number: u64,
    /// The model it asks.
    pub model: String,
    pub stream: bool,
    pub tongue: Tongue,
    /// How many requests for this model came before it.
    pub nth: u64,
    pub at: Instant,
    /// The key it came with.
    pub key: String,
    /// The prompt's length in bytes.
    pub prompt_bytes: u64,
    /// The most tokens it asks for; 0 where it sets no bound.
    pub max_tokens: u64,
}

/// What is done with the socket, one after the other. After the last step the next request is read.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    /// Byte by byte, a pause after each.
    Drip(Vec<u8>, Duration),
    Wait(Duration),
    /// Nothing more, for as long as the other side is there.
    Hold,
    /// The writing side is shut, the reading side stays open.
    HalfClose,
    /// Nothing, until the gate is open.
    Until(watch::Receiver<bool>),
    /// From here on the provider's bill is this.
    Bill(Usage),
    /// What follows may be the end, as far as the other side can tell.
    Over,
    /// Both sides are shut.
    Fin,
    /// The connection is reset.
    Reset,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub heard: Heard,
    /// When the other side hung up, where it did while the answer was still under way.
    pub cancelled: Option<Instant>,
    /// When it was over here: ended, or cancelled.
    pub over: Option<Instant>,
    /// What the provider bills for it.
    pub bill: Usage,
}

type Script = dyn Fn(&Heard) -> Vec<Step> + Send + Sync;

/// A listener with a script.
#[derive(Clone)]
pub struct Mock {
    pub name: &'static str,
    pub port: u16,
    state: Arc<State>,
}

struct State {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    models: Mutex<HashMap<String, u64>>,
    /// Requests that could not be understood: the gateway's fault.
    wrong: Mutex<Vec<String>>,
    /// Another handle of each socket on which an answer is under way, by the place of its request.
    under_way: Mutex<HashMap<usize, std::net::TcpStream>>,
}

impl Mock {
    /// An upstream that reads each request whole and then does what the script says.
    pub async fn open(name: &'static str, script: impl Fn(&Heard) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), name, script)
    }

    /// The same on a listener that is there already.
    pub fn on(listener: TcpListener, name: &'static str, script: impl Fn(&Heard) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            script: Box::new(script),
            seen: Mutex::default(),
            models: Mutex::default(),
            wrong: Mutex::default(),
            under_way: Mutex::default(),
        });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                tokio::spawn(async move {
                    // The other side may hang up at any time.
                    let _gone = Connection { stream, rest: Vec::new(), state }.serve().await;
                });
            }
        });
        Self { name, port, state }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The requests for this model.
    pub fn seen_of(&self, model: &str) -> Vec<Seen> {
        self.state.seen.lock().unwrap().iter().filter(|seen| seen.heard.model == model).cloned().collect()
    }

    /// Its providers in the policy, named after it.
    pub fn providers(&self) -> String {
        super::lanes::providers(self.name, &format!("http://127.0.0.1:{}", self.port))
    }

    /// How often each number came.
    pub fn by_number(&self) -> HashMap<u64, usize> {
        let mut counts = HashMap::new();
        for seen in self.state.seen.lock().unwrap().iter() {
            *counts.entry(seen.heard.number).or_default() += 1;
        }
        counts
    }

    /// Asserts that every request was sound.
    pub fn assert_understood(&self) {
        let wrong = self.state.wrong.lock().unwrap();
        assert!(
            wrong.is_empty(),
            "the {} one could not understand {} requests: {:?}",
            self.name,
            wrong.len(),
            &wrong[..wrong.len().min(3)]
        );
    }
}

/// A listener that does something with each connection before a byte is read.
pub async fn at_accept<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    port
}

struct Connection {
    stream: TcpStream,
    rest: Vec<u8>,
    state: Arc<State>,
}

impl Connection {
    async fn serve(mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        while let Some((head, body)) = self.request().await? {
            let mut heard = match understand(&head, &body) {
                Ok(heard) => heard,
                Err(why) => {
                    self.state.wrong.lock().unwrap().push(format!("{why}: {head}{}", String::from_utf8_lossy(&body)));
                    return Ok(());
                }
            };
            {
                let mut models = self.state.models.lock().unwrap();
                let count = models.entry(heard.model.clone()).or_default();
                heard.nth = *count;
                *count += 1;
            }
            self.state.notice_who_left();
            heard.at = Instant::now();
            let place = {
                let mut seen = self.state.seen.lock().unwrap();
                seen.push(Seen { heard: heard.clone(), cancelled: None, over: None, bill: Usage::default() });
                seen.len() - 1
            };
            let socket = self.stream.as_fd().try_clone_to_owned()?;
            self.state.under_way.lock().unwrap().insert(place, socket.into());
            let done = self.play(place, (self.state.script)(&heard)).await;
            self.state.over(place, !matches!(done, Ok(Next::Step)));
            if done? == Next::Gone {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn play(&mut self, place: usize, steps: Vec<Step>) -> io::Result<Next> {
        for step in steps {
            match step {
                Step::Bill(usage) => self.state.seen.lock().unwrap()[place].bill = usage,
                Step::Over => self.state.over(place, false),
                step => {
                    if self.step(step).await? == Next::Gone {
                        return Ok(Next::Gone);
                    }
                }
            }
        }
        Ok(Next::Step)
    }

    /// The next request's head and body; `None` where the other side closed between two.
    async fn request(&mut self) -> io::Result<Option<(String, Vec<u8>)>> {
        let end = loop {
            if let Some(at) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if self.more().await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&self.rest[..end]).into_owned();
        let length = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        while self.rest.len() < end + length {
            if self.more().await? == 0 {
                return Ok(None);
            }
        }
        let rest = self.rest.split_off(end + length);
        let request = std::mem::replace(&mut self.rest, rest);
        Ok(Some((head, request[end..].to_vec())))
    }

    async fn more(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.rest).await
    }

    async fn step(&mut self, step: Step) -> io::Result<Next> {
        match step {
            Step::Send(bytes) => {
                if self.stream.write_all(&bytes).await.is_err() {
                    return Ok(Next::Gone);
                }
            }
            Step::Drip(bytes, pause) => {
                for byte in bytes {
                    if self.stream.write_all(&[byte]).await.is_err() || self.wait(pause).await == Next::Gone {
                        return Ok(Next::Gone);
                    }
                }
            }
            Step::Wait(pause) => return Ok(self.wait(pause).await),
            Step::Hold => return Ok(self.wait(FOREVER).await),
            Step::Until(mut gate) => {
                let open = async move { gate.wait_for(|open| *open).await.is_ok() };
                return Ok(self.unless_gone(open).await);
            }
            Step::Bill(_) | Step::Over => {}
            Step::HalfClose => {
                self.stream.shutdown().await?;
                return Ok(self.wait(FOREVER).await);
            }
            Step::Fin => {
                self.stream.shutdown().await?;
                return Ok(Next::Gone);
            }
            Step::Reset => {
                self.stream.set_zero_linger()?;
                return Ok(Next::Gone);
            }
        }
        Ok(Next::Step)
    }

    /// Waits, and notices when the other side hangs up meanwhile. It may send its next request: that one is kept.
    async fn wait(&mut self, pause: Duration) -> Next {
        self.unless_gone(tokio::time::sleep(pause)).await
    }

    async fn unless_gone<T>(&mut self, until: impl Future<Output = T>) -> Next {
        tokio::pin!(until);
        loop {
            tokio::select! {
                read = self.stream.read_buf(&mut self.rest) => if matches!(read, Ok(0) | Err(_)) {
                    return Next::Gone;
                },
                _ = &mut until => return Next::Step,
            }
        }
    }
}

impl State {
    /// The kernel knows that the other side hung up before the task that serves it does: an answer to it is not under way any
    /// more when the next request is counted.
    fn notice_who_left(&self) {
        let sockets = self.under_way.lock().unwrap();
        let gone = |socket: &std::net::TcpStream| match socket.peek(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        let left: Vec<usize> = sockets.iter().filter(|(_, socket)| gone(socket)).map(|(place, _)| *place).collect();
        drop(sockets);
        left.into_iter().for_each(|place| self.over(place, true));
    }

    fn over(&self, place: usize, cancelled: bool) {
        self.under_way.lock().unwrap().remove(&place);
        let seen = &mut self.seen.lock().unwrap()[place];
        if seen.over.is_none() {
            seen.over = Some(Instant::now());
            seen.cancelled = cancelled.then(Instant::now);
        }
    }
}

#[derive(PartialEq)]
enum Next {
    Step,
    Gone,
}

/// Longer than any test.
const FOREVER: Duration = Duration::from_secs(600);

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn understand(head: &str, body: &[u8]) -> Result<Heard, String> {
    let body: serde_json::Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let path = head.split(' ').nth(1).ok_or("no path")?;
    let (tongue, model, stream) = match path {
        "/v1/chat/completions" => (Tongue::Chat, body["model"].as_str(), body["stream"] == true),
        "/v1/messages" => (Tongue::Claude, body["model"].as_str(), body["stream"] == true),
        _ => {
            let (model, method) = path.rsplit('/').next().and_then(|last| last.split_once(':')).ok_or("no such path")?;
            (Tongue::Gemini, Some(model), method.starts_with("stream"))
        }
    };
    let number = tag_in(&body.to_string()).ok_or("no tag")?;
    let key = header(head, "authorization").map(|value| value.trim_start_matches("Bearer "));
    let key = key.or_else(|| header(head, "x-api-key")).or_else(|| header(head, "x-goog-api-key")).ok_or("no key")?;
    let prompt = match tongue {
        Tongue::Chat | Tongue::Claude => &body["messages"][0]["content"],
        Tongue::Gemini => &body["contents"][0]["parts"][0]["text"],
    };
    let most = [&body["max_tokens"], &body["max_completion_tokens"], &body["generationConfig"]["maxOutputTokens"]];
    Ok(Heard {
        number,
        model: model.ok_or("no model")?.to_owned(),
        stream,
        tongue,
        nth: 0,
        at: Instant::now(),
        key: key.to_owned(),
        prompt_bytes: prompt.as_str().or_else(|| prompt[0]["text"].as_str()).map_or(0, |text| text.len() as u64),
        max_tokens: most.iter().find_map(|most| most.as_u64()).unwrap_or(0),
    })
}
