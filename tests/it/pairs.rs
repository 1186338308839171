//! What other gateways and one translation library expect of a translation, compared by meaning.
//!
//! It is a measure of parity, not of truth: where ours differs, the difference has a name, and `REASONS` says why ours is
//! right. A difference without a reason fails the test.

use std::collections::BTreeMap;

use base64::Engine as _;
use outrider::base::framing::Framing;
use outrider::base::json::Raw;
use outrider::base::rng::ExchangeId;
use outrider::config::catalog;
use outrider::dialect::{Notes, Reply, ToolNames, codec};
use outrider::ir::{Dialect, Media, Message, OutputFormat, Part, Request, Role, Source, Tool, ToolChoice};
use serde_json::{Value, json};

use crate::square::{Facts, facts, folded};
use crate::support::corpus;

/// Why ours differs and is right, by the kind of pair, the two apis (`*` is any) and the name of the difference.
const REASONS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "reject",
        "*",
        "*",
        "ours names the loss instead of refusing",
        "cache marks and foreign signatures change no meaning: `x-outrider-lossy` names them, and `strict` refuses them",
    ),
    (
        "reject",
        "chat.completions",
        "messages",
        "ours translates it",
        "what their own form cannot hold can be said: a free-form tool as a function, a file as a document",
    ),
    (
        "reject",
        "chat.completions",
        "responses",
        "ours translates it",
        "an address of a file is one for `input_file`, whatever it holds: the provider judges it",
    ),
    ("reject", "responses", "messages", "ours translates it", "added and free-form tools are tools like the others there"),
    (
        "request",
        "*",
        "*",
        "output_tokens_max",
        "theirs makes up a bound of 4096 where none was asked for and cuts long answers (trap 41), or leaves out what was; ours is the model's own",
    ),
    (
        "request",
        "*",
        "generateContent",
        "output",
        "theirs writes a title of its own into the schema, or takes its references apart; ours moves it verbatim as responseJsonSchema",
    ),
    ("request", "*", "converse", "output", "theirs drops the schema; ours asks for it natively"),
    (
        "request",
        "*",
        "messages",
        "output",
        "the constraints that the API refuses are told in the description; theirs drops them (trap 111)",
    ),
    (
        "request",
        "generateContent",
        "*",
        "output",
        "the schema is the caller's: theirs closes it (`additionalProperties`), which it did not ask for",
    ),
    (
        "request",
        "chat.completions",
        "responses",
        "output",
        "theirs makes every member required; a schema that is not strict means what it says",
    ),
    ("request", "*", "*", "ours refuses: n", "several answers are no translation of one"),
    ("request", "*", "*", "ours refuses: logit_bias", "token ids mean nothing to another tokenizer; theirs drops it in silence"),
    ("request", "*", "*", "ours refuses: logprobs", "the target has none; theirs drops it in silence"),
    ("request", "*", "*", "ours refuses: prediction", "the target has none; theirs drops it in silence"),
    ("request", "*", "*", "ours refuses: stop", "Responses has no stop texts; dropping them would let the answer run on"),
    (
        "request",
        "*",
        "*",
        "ours refuses: tools",
        "a tool that the provider runs has no counterpart: dropping it would answer another question",
    ),
    ("request", "*", "*", "ours refuses: tool_choice", "it names a tool that the provider runs, which has no counterpart"),
    (
        "request",
        "*",
        "converse",
        "ours refuses: messages[].content",
        "Bedrock fetches nothing from the web; the caller is told to send the bytes",
    ),
    (
        "request",
        "responses",
        "*",
        "ours refuses: messages[].content",
        "a call of a tool that the provider ran cannot be replayed to another",
    ),
    ("request", "messages", "*", "ours refuses: output_format", "the pair's value is a string, which the API refuses too"),
    ("request", "*", "generateContent", "penalties", "Gemini takes them; theirs drops them"),
    ("request", "*", "generateContent", "seed", "Gemini takes it; theirs drops it"),
    ("request", "generateContent", "*", "tools", "the schema means what it said in Google's words; theirs drops what its own form lacks"),
    (
        "request",
        "*",
        "generateContent",
        "tools",
        "ours moves the schema verbatim and keeps free-form tools; theirs drops what its own form lacks",
    ),
    ("request", "*", "converse", "tools", "ours names the tools of the history (trap 8); theirs one that must not be called"),
    ("request", "*", "messages", "tools", "ours keeps the tools beside `none`, as the provider's prompt cache wants; theirs drops them"),
    (
        "request",
        "*",
        "messages",
        "tool_choice",
        "ours says `none`, and drops the force where the model thinks, which refuses both (named as lost)",
    ),
    ("request", "*", "converse", "tool_choice", "Converse can force a tool; theirs drops it"),
    ("request", "*", "converse", "parallel_tool_calls", "Claude on Bedrock takes it; theirs drops it"),
    (
        "request",
        "*",
        "*",
        "reasoning",
        "efforts are kept word by word where the model takes an effort, and are budgets by the table of §9 where it takes one",
    ),
    (
        "request",
        "*",
        "*",
        "messages",
        "system turns stay where they stood, results keep their own text, plain documents are text, and nothing is left out",
    ),
    ("response", "*", "*", "ours tells an error*", "an answer without its content is no answer"),
    ("response", "converse", "chat.completions", "tokens", "input counts what was cached; and what was not told is not zero"),
    ("response", "messages", "chat.completions", "tokens", "input counts what was read from and written to the cache"),
    ("response", "*", "responses", "words", "thinking is no part of the words"),
    ("stream", "*", "responses", "words", "thinking is no part of the words"),
    (
        "response",
        "*",
        "*",
        "calls",
        "a tool of the caller's that happens to be called `json` stays a call, and a tool that the provider ran is none of the caller's (trap 18)",
    ),
    ("response", "*", "*", "finish", "as with the calls: the reason follows them"),
    ("response", "*", "*", "words", "a tool of the caller's that happens to be called `json` stays a call; its arguments are no words"),
    ("stream", "messages", "chat.completions", "tokens", "what was not told is not told; and input counts what was cached"),
    ("stream", "*", "*", "theirs is not a stream of the dialect", "their text is no event stream"),
];

fn dialect(api: &str) -> Option<Dialect> {
    Some(match api {
        "chat.completions" => Dialect::OpenAiChat,
        "responses" => Dialect::OpenAiResponses,
        "messages" => Dialect::Anthropic,
        "generateContent" => Dialect::Gemini,
        "converse" => Dialect::Bedrock,
        _ => return None,
    })
}

/// The kind of provider whose models stand behind a dialect in the pairs.
fn kind(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => "openai",
        Dialect::Anthropic => "anthropic",
        Dialect::Gemini => "gemini",
        Dialect::Bedrock => "bedrock",
    }
}

/// What a request means, member by member.
fn gist(request: &Request<'_>) -> BTreeMap<&'static str, Value> {
    let number = |number: &Option<outrider::ir::Number<'_>>| number.as_ref().map_or(Value::Null, |number| json!(number.value()));
    let mut gist = BTreeMap::new();
    gist.insert("messages", turns(&request.messages));
    gist.insert("tools", request.tools.iter().map(tool).collect());
    gist.insert("tool_choice", choice(request.tool_choice.as_ref()));
    gist.insert("parallel_tool_calls", if request.parallel_tool_calls == Some(false) { json!(false) } else { Value::Null });
    gist.insert("temperature", number(&request.temperature));
    gist.insert("top_p", number(&request.top_p));
    gist.insert("top_k", number(&request.top_k));
    gist.insert("seed", number(&request.seed));
    gist.insert("penalties", json!([number(&request.presence_penalty), number(&request.frequency_penalty)]));
    gist.insert("stop", request.stop.iter().map(|text| json!(text.read())).collect());
    gist.insert("output_tokens_max", json!(request.output_tokens_max));
    gist.insert(
        "output",
        match &request.output {
            Some(OutputFormat::JsonSchema { schema, .. }) => value(schema.raw()),
            Some(OutputFormat::JsonObject) => json!("object"),
            Some(OutputFormat::Text) | None => Value::Null,
        },
    );
    let reasoning = request.reasoning.unwrap_or_default();
    gist.insert("reasoning", json!(reasoning.effort.map(|effort| effort.word()).or(reasoning.budget_tokens.map(|_| "budget"))));
    gist
}

fn value(raw: Raw<'_>) -> Value {
    serde_json::from_str(raw.get()).unwrap_or(Value::Null)
}

fn tool(tool: &Tool<'_>) -> Value {
    match tool {
        Tool::Function { name, description, parameters, .. } => {
            json!({"name": name.read(), "description": description.as_ref().map(|text| text.read()), "schema": parameters.as_ref().map(|schema| value(schema.raw()))})
        }
        Tool::Custom { name, .. } => json!({"custom": name.read()}),
        Tool::Opaque { kind, .. } => json!({ "opaque": kind }),
    }
}

fn choice(choice: Option<&ToolChoice<'_>>) -> Value {
    match choice {
        None | Some(ToolChoice::Auto) => Value::Null,
        Some(ToolChoice::None) => json!("none"),
        Some(ToolChoice::Required) => json!("required"),
        Some(ToolChoice::Named(name)) => json!([name.read()]),
        Some(ToolChoice::Allowed { names, .. }) => names.iter().map(|name| json!(name.read())).collect(),
    }
}

/// The conversation: neighbours of one role are one turn, neighbouring texts one text.
fn turns(messages: &[Message<'_>]) -> Value {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        let role = match message.role {
            Role::System | Role::Developer => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        if turns.last().is_none_or(|(last, _)| *last != role) {
            turns.push((role, Vec::new()));
        }
        let said = &mut turns.last_mut().unwrap().1;
        for part in message.parts.iter().filter_map(part) {
            match (said.last_mut().and_then(|last| last.get_mut("text")), part.get("text")) {
                (Some(Value::String(text)), Some(Value::String(more))) => text.push_str(more),
                _ => said.push(part),
            }
        }
    }
    turns.retain(|(_, said)| !said.is_empty());
    json!(turns)
}

fn part(part: &Part<'_>) -> Option<Value> {
    Some(match part {
        Part::Text { text, .. } | Part::Refusal(text) => json!({"text": text.read().trim()}),
        // Thinking is replayed to its own provider only, which no pair crosses.
        Part::Reasoning { .. } | Part::RedactedReasoning(_) => return None,
        Part::ToolCall { name, arguments, .. } => {
            let text = arguments.read();
            json!({"call": name.read(), "arguments": serde_json::from_str::<Value>(&text).unwrap_or(json!(text))})
        }
        Part::ToolResult { parts, .. } => json!({"result": parts.iter().filter_map(self::part).collect::<Vec<_>>()}),
        Part::Media(media) => media_gist(media),
        Part::Opaque { kind, .. } => json!({ "opaque": kind }),
    })
}

fn media_gist(media: &Media<'_>) -> Value {
    match &media.source {
        Source::Url(url) => json!({ "url": url.read() }),
        Source::Base64 { data, .. } => json!({ "data": data.read() }),
        Source::Plain(text) => json!({ "plain": text.read() }),
        Source::FileId { id, .. } => json!({ "file": id.read() }),
        Source::Opaque { .. } => json!("opaque"),
    }
}

fn reply(id: ExchangeId, model: &str, framing: Framing) -> Reply {
    Reply { id, model: model.into(), created: 0, stream_usage: true, input_tokens_estimate: 0, tools: ToolNames::default(), framing }
}

/// A difference between ours and theirs: its name, and both sides in short.
type Difference = (String, String);

fn named(name: impl Into<String>) -> Vec<Difference> {
    vec![(name.into(), String::new())]
}

fn sides(ours: &impl std::fmt::Debug, theirs: &impl std::fmt::Debug) -> String {
    let short = |text: String| text[..text.floor_char_boundary(700)].to_owned();
    format!("\n      ours   {}\n      theirs {}", short(format!("{ours:?}")), short(format!("{theirs:?}")))
}

/// The differences between ours and theirs; none where they agree.
fn compare(pair: &Value, from: Dialect, to: Dialect) -> Vec<Difference> {
    let id = outrider::base::rng::RootRng::seeded(1).fork().exchange_id();
    let bytes = |name: &str| -> Vec<u8> {
        match (&pair[name], &pair[format!("{name}_text")], &pair[format!("{name}_base64")]) {
            (_, Value::String(text), _) => text.clone().into_bytes(),
            (.., Value::String(text)) => base64::engine::general_purpose::STANDARD.decode(text).unwrap(),
            (value, ..) => serde_json::to_vec(value).unwrap(),
        }
    };
    let (input, expected) = (bytes("input"), bytes("expected"));
    match pair["kind"].as_str().unwrap() {
        kind_of_pair @ ("request" | "reject") => {
            let model = pair["input"]["model"].as_str().or(pair["expected"]["model"].as_str()).unwrap_or("m").to_owned();
            let mut ours = Vec::new();
            let mut notes = Notes::default();
            let written = codec(from).decode_request(&input).and_then(|request| {
                let target = pair["expected"]["model"].as_str().or(pair["expected"]["modelId"].as_str()).unwrap_or(&model);
                let traits = catalog::traits(kind(to), target);
                codec(to).encode_request(&request, target, &traits, &mut notes, &mut ours)
            });
            match (kind_of_pair, written) {
                ("reject", Err(_)) => return Vec::new(),
                ("reject", Ok(())) if !notes.losses.is_empty() => return named("ours names the loss instead of refusing"),
                ("reject", Ok(())) => return named("ours translates it"),
                (_, Err(fault)) => return vec![(format!("ours refuses: {}", fault.param.as_deref().unwrap_or("?")), fault.to_string())],
                (_, Ok(())) => {}
            }
            let read = |body: &[u8]| codec(to).decode_request(body).map(|request| gist(&request));
            match (read(&ours), read(&expected)) {
                (Ok(ours), Ok(theirs)) => {
                    let differ = ours.iter().filter(|(name, value)| theirs[*name] != **value);
                    differ.map(|(name, value)| ((*name).to_owned(), sides(value, &theirs[name]))).collect()
                }
                (Err(fault), _) => named(format!("ours cannot be read back: {fault}")),
                (_, Err(_)) => named("theirs is not a request of the dialect"),
            }
        }
        "response" => {
            let mut ours = Vec::new();
            match codec(from).decode_answer(&input) {
                Ok(answer) => codec(to).encode_answer(&answer, &reply(id, "m", Framing::Sse), &mut Notes::default(), &mut ours),
                Err(fault) => return named(format!("ours tells an error: {}", fault.kind.label())),
            }
            let ours = codec(to).decode_answer(&ours).map(|answer| facts(&answer));
            let Ok(theirs) = codec(to).decode_answer(&expected).map(|answer| facts(&answer)) else {
                return named("theirs is not an answer of the dialect");
            };
            differences(&ours.unwrap(), &theirs)
        }
        "stream" => {
            let mut out = Vec::new();
            let mut encoder = codec(to).stream_encoder(reply(id, "m", codec(to).framing()));
            let mut decoder = codec(from).stream_decoder();
            let mut framer = outrider::base::framing::Framer::new(framing_of(from, &input), 16 << 20);
            let mut input = input;
            if framing_of(from, &input) == Framing::Sse {
                input.extend_from_slice(b"\n\n");
            }
            let (mut ended, mut finished) = (false, false);
            let pushed = framer.push(input.into(), |frame| {
                let _unread_is_seen_below = decoder.decode(&frame, &mut |event| {
                    ended |= matches!(event, outrider::ir::Event::End);
                    finished |= matches!(event, outrider::ir::Event::Finish(_));
                    encoder.encode(&event, &mut out);
                });
            });
            if pushed.is_err() {
                return named("their input cannot be framed");
            }
            if !ended && finished {
                encoder.encode(&outrider::ir::Event::End, &mut out);
            }
            let ours = folded(to, codec(to).framing(), &out).unwrap();
            let Ok(theirs) = folded(to, framing_of(to, &expected), &expected) else {
                return named("theirs is not a stream of the dialect");
            };
            differences(&facts(&ours.into_answer()), &facts(&theirs.into_answer()))
        }
        other => named(format!("unknown kind {other}")),
    }
}

fn framing_of(dialect: Dialect, bytes: &[u8]) -> Framing {
    match dialect {
        Dialect::Bedrock => Framing::EventStream,
        Dialect::Gemini if bytes.first() == Some(&b'[') => Framing::JsonArray,
        _ => Framing::Sse,
    }
}

fn differences(ours: &Facts, theirs: &Facts) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut note = |differs: bool, name: &str, both: String| found.extend(differs.then(|| (name.to_owned(), both)));
    note(ours.words != theirs.words, "words", sides(&ours.words, &theirs.words));
    note(ours.calls != theirs.calls, "calls", sides(&ours.calls, &theirs.calls));
    note(ours.finish != theirs.finish, "finish", sides(&ours.finish, &theirs.finish));
    note(theirs.tokens.is_some() && ours.tokens != theirs.tokens, "tokens", sides(&ours.tokens, &theirs.tokens));
    found
}

#[test]
fn pairs_agree_or_the_difference_has_a_reason() {
    let Some(folder) = corpus::folder() else { return };
    let mut paths: Vec<_> = std::fs::read_dir(folder.join("pairs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let (mut agreed, mut compared) = (0, 0);
    let mut differing: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut elsewhere: BTreeMap<String, usize> = BTreeMap::new();
    for path in &paths {
        let pair: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let (from, to) = (pair["from"].as_str().unwrap(), pair["to"].as_str().unwrap());
        let (Some(from_dialect), Some(to_dialect)) = (dialect(from), dialect(to)) else {
            *elsewhere.entry(format!("{from} to {to}")).or_default() += 1;
            continue;
        };
        compared += 1;
        let found = compare(&pair, from_dialect, to_dialect);
        agreed += usize::from(found.is_empty());
        for (name, both) in found {
            let key = format!("{}\t{from}\t{to}\t{name}", pair["kind"].as_str().unwrap());
            differing.entry(key).or_default().push((pair["id"].as_str().unwrap().to_owned(), both));
        }
    }
    println!("pairs: {compared} compared, {agreed} agree; of apis that are not translated: {elsewhere:?}");
    let mut unexplained = Vec::new();
    for (key, ids) in &differing {
        let parts: Vec<_> = key.split('\t').collect();
        let fits =
            |pattern: &str, text: &str| pattern == "*" || pattern == text || pattern.strip_suffix('*').is_some_and(|p| text.starts_with(p));
        let reason = REASONS
            .iter()
            .find(|(kind, from, to, name, _)| fits(kind, parts[0]) && fits(from, parts[1]) && fits(to, parts[2]) && fits(name, parts[3]));
        let line = format!("{} {} → {}: {} ({}×)", parts[0], parts[1], parts[2], parts[3], ids.len());
        match reason {
            Some((.., why)) => println!("  {line}: {why}"),
            None => unexplained.push(ids.iter().take(2).fold(line, |line, (id, both)| format!("{line}\n    {id}{both}"))),
        }
    }
    assert!(unexplained.is_empty(), "{} differences without a reason:\n{}", unexplained.len(), unexplained.join("\n"));
}
