using System.Buffers;
using System.Text.Json;
using Proxy.Buffers;

namespace Proxy.Chat;

/// <summary>How a dialect separates the messages of a stream.</summary>
internal enum StreamFraming { ServerSentEvents, JsonLines }

/// <summary>A wire format, by name. The value of a backend's <c>dialects</c> setting is a family of one or more of them.</summary>
internal enum DialectName { OpenAiChat, OpenAiCompletions, OpenAiResponses, OllamaChat, OllamaGenerate, Anthropic, Events }

/// <summary>The meaning of a stream's frame for the decision on failover.</summary>
internal enum FrameKind
{
    /// <summary>No content yet: a role, an id, a comment, a ping.</summary>
    Preamble,

    /// <summary>Content, or anything else that a client would miss.</summary>
    Content,

    /// <summary>The host failed and reports it inside the stream.</summary>
    Error,

    /// <summary>The stream's own end marker.</summary>
    End,
}

/// <summary>The values that differ between otherwise equal answers; fixed in tests. <paramref name="Model"/> is the name that the client asked for.</summary>
internal readonly record struct ReplyStamp(string TraceId, DateTimeOffset Created, string Model)
{
    /// <summary>True if the client wants usage in its stream although its dialect leaves it out by default.</summary>
    public bool IncludeUsage { get; init; }

    /// <summary>The request, for dialects whose answers repeat it.</summary>
    public ChatRequest? Request { get; init; }

    /// <summary>How the answer is kept; null: the call says nothing of it.</summary>
    public KeepingTerms? Terms { get; init; }

    /// <summary>The id of the run of the workflow that answers.</summary>
    public string? RunId { get; init; }

    /// <summary>The sources that are known before the answer starts.</summary>
    public IReadOnlyList<Source>? Sources { get; init; }

    /// <summary>The search that found them; null: none was made.</summary>
    public SearchNote? Search { get; init; }
}

/// <summary>How a surface reports errors. This is all that surfaces without chat have in common. Stateless and shared.</summary>
internal abstract class ErrorDialect
{
    /// <summary>Writes the body of an error response.</summary>
    public abstract void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output);

    /// <summary>Writes the frame or frames that end a stream which failed after it had started.</summary>
    public abstract void WriteStreamError(ProxyError error, string traceId, IBufferWriter<byte> output);

    /// <summary>The HTTP status that this surface's clients expect for the error.</summary>
    public virtual int StatusOf(ProxyError error) => error.Status;

    public virtual string ErrorContentType(ProxyError error) => "application/json";

    /// <summary>The header in which this surface's clients look for their call's id, besides our own header. Null if they look for none.</summary>
    public virtual string? RequestIdHeader => null;
}

/// <summary>The client's side of a dialect: it reads requests and writes answers. Stateless and shared.</summary>
internal abstract class ClientDialect : ErrorDialect
{
    public abstract DialectName Name { get; }
    public abstract StreamFraming Framing { get; }

    /// <summary>One word for what its clients ask a model to do; for error messages.</summary>
    public virtual string Verb => "chat";

    public abstract string StreamContentType { get; }
    public abstract string WholeContentType { get; }

    public override string ErrorContentType(ProxyError error) => WholeContentType;

    /// <summary>Whether a body without <c>stream</c> asks for a stream (Ollama: true).</summary>
    public abstract bool StreamsByDefault { get; }

    /// <summary>Bytes that keep an idle stream alive between two frames. Empty if the dialect has none.</summary>
    public abstract ReadOnlySpan<byte> KeepAlive { get; }

    /// <summary>
    /// Refuses a request that this surface does not support on any host. Called for every call, so it must be cheap when there is nothing to refuse.
    /// </summary>
    public virtual ProxyError? Refuses(ReadOnlySpan<byte> body) => null;

    /// <summary>
    /// The edits that replace values which an agent changes in every prompt although they carry no meaning, so that prompts stay equal for the host's prefix
    /// cache. Usually none. No edit changes a length.
    /// </summary>
    public virtual IReadOnlyList<BodyEdit> NormalisePrompt(ReadOnlySpan<byte> body) => [];

    /// <summary>Adds the positions of the prompt's pieces, in the order in which a model reads them.</summary>
    public virtual void CutPrompt(ReadOnlySpan<byte> body, List<Range> pieces) { }

    /// <summary>
    /// The edit that puts a text in front of the last turn of the user. Null if the body has no such turn in a form that an edit can reach; the request then
    /// has to be written anew.
    /// </summary>
    public virtual BodyEdit? PutBeforeLastTurn(ReadOnlySpan<byte> body, string text) => null;

    /// <summary>What the body asks of a search in documents; null: nothing. Called for every call, so it must be cheap when there is nothing.</summary>
    public virtual FileSearch? FindFileSearch(ReadOnlySpan<byte> body) => null;

    /// <summary>Parses the whole body. For invalid input it returns the error that names the field, and no request.</summary>
    public abstract ProxyError? ReadRequest(ReadOnlyMemory<byte> body, out ChatRequest? request);

    /// <summary>
    /// True if the request holds everything that this member of its <see cref="ChatRequest.AsItCame"/> says. False if the member says more to a host of this
    /// dialect.
    /// </summary>
    public virtual bool IsOnlySpelling(string name, JsonElement value, ChatRequest request) => true;

    /// <summary>
    /// The answer to a request that only a host of this dialect can carry out, if the host is of another dialect (Ollama's load and unload). Null for an
    /// ordinary chat.
    /// </summary>
    public virtual IReadOnlyList<ChatEvent>? AnswerElsewhere(ChatRequest request) => null;

    public abstract EventWriter NewEventWriter(ReplyStamp stamp);

    /// <summary>Writes the whole answer as one document, from all its events.</summary>
    public abstract void WriteWhole(IReadOnlyList<ChatEvent> events, ReplyStamp stamp, IBufferWriter<byte> output);
}

/// <summary>The backend's side of a dialect: it writes requests and reads answers. Stateless and shared.</summary>
internal abstract class BackendDialect
{
    public abstract DialectName Name { get; }
    public abstract StreamFraming Framing { get; }

    /// <summary>The path of the chat call, from the host's root.</summary>
    public abstract string ChatPath { get; }

    /// <summary>A header that the host requires. A header of the client with that name takes precedence. Null if there is none.</summary>
    public virtual KeyValuePair<string, string>? VersionHeader => null;

    /// <summary>True if it takes a text to continue instead of a conversation.</summary>
    public virtual bool TakesPrompts => false;

    /// <summary>Adapts the request to the host's model (Ollama's context length). Returns an error if the request does not fit.</summary>
    public virtual ProxyError? Fit(ref ChatRequest request, in HostModelFacts facts) => null;

    /// <summary>
    /// The error if this request cannot be sent to a host of this dialect. Null if it can, even if members get lost. A loss that would change the question (an
    /// image left out, for example) is refused here.
    /// </summary>
    public virtual ProxyError? Unsayable(ChatRequest request) => null;

    /// <summary>Writes the request in this dialect and adds the names of the members that get lost, for the log.</summary>
    public abstract void WriteRequest(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost);

    public abstract EventReader NewEventReader();

    /// <summary>Reads a whole answer as events. False, and no events, if the body is not one, or says itself that it is incomplete.</summary>
    public bool TryReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events)
    {
        var read = new List<ChatEvent>();
        try
        {
            if (!ReadWhole(body, read)) return false;
        }
        // The parser's: for what is not JSON, for a member of the wrong form, and for a string that is not UTF-8.
        catch (Exception problem) when (problem is JsonException or InvalidOperationException or FormatException)
        {
            return false;
        }

        events.AddRange(read);
        return true;
    }

    /// <summary>Does so. May throw what the JSON parser throws.</summary>
    protected abstract bool ReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events);

    /// <summary>
    /// The edit to a client's own body that makes the host report a stream's token counts although the client did not ask. Null if none is needed.
    /// </summary>
    public virtual BodyEdit? AskUsage(ReadOnlySpan<byte> body, ChatEnvelope envelope) => null;

    /// <summary>True if a frame carries only token counts. A client that did not ask for them must not see it.</summary>
    public virtual bool OnlyCounts(ReadOnlySpan<byte> frame) => false;

    /// <summary>True if the host accepts an image's URL; otherwise the image must be inside the request.</summary>
    public virtual bool TakesImageAddresses => true;

    /// <summary>Classifies a frame. Cheap, and based on that frame alone. The frame is the payload: without <c>data:</c> and line breaks.</summary>
    public abstract FrameKind Classify(ReadOnlySpan<byte> frame);

    /// <summary>True for the stream's end marker. Called for every relayed frame: override it if <see cref="Classify"/> parses.</summary>
    public virtual bool IsEnd(ReadOnlySpan<byte> frame) => Classify(frame) is FrameKind.End;

    /// <summary>
    /// The end marker of a stream in this dialect, as clients read it. It is added if the host sent a finish reason but no marker. Empty if the last event
    /// itself is the marker.
    /// </summary>
    public virtual ReadOnlySpan<byte> EndMarker => default;

    /// <summary>
    /// True if the frame carries a finish reason. Called for every relayed frame of a dialect that has an <see cref="EndMarker"/>; must not parse.
    /// </summary>
    public virtual bool SaysWhyFinished(ReadOnlySpan<byte> frame) => false;

    /// <summary>
    /// True if a member with this name (given with its quotes) has a string value anywhere in the frame. Inside a string the quotes would be escaped.
    /// </summary>
    protected static bool HasText(ReadOnlySpan<byte> frame, ReadOnlySpan<byte> name)
    {
        while (frame.IndexOf(name) is var at and >= 0)
        {
            frame = frame[(at + name.Length)..];
            if (frame.TrimStart(" :"u8) is [(byte)'"', ..]) return true;
        }

        return false;
    }

    /// <summary>
    /// False if a whole answer with status 200 is not an answer: an error object, or one that says it is incomplete (Ollama's <c>"done":false</c>).
    /// </summary>
    public abstract bool IsWholeAnswer(ReadOnlySpan<byte> body);

    /// <summary>Reads the host's message from an error body or error frame. Never null: a body in an unknown form is quoted, shortened.</summary>
    public abstract HostError ReadError(ReadOnlySpan<byte> body);

    /// <summary>Finds the token counts in one frame or whole body with a scan, without parsing the rest. Null if there are none.</summary>
    public abstract Usage? FindUsage(ReadOnlySpan<byte> frame);
}

/// <summary>A replacement in a body that is otherwise left unchanged.</summary>
internal readonly record struct BodyEdit(Range Place, ReadOnlyMemory<byte> Text)
{
    /// <summary>Copies the body with all of the edits, which are sorted by position and do not overlap. Null if there are none.</summary>
    public static PooledBody? Apply(IReadOnlyList<BodyEdit> edits, ReadOnlySpan<byte> body) => edits.Count == 0 ? null : Apply([.. edits], body);

    /// <inheritdoc cref="Apply(IReadOnlyList{BodyEdit}, ReadOnlySpan{byte})"/>
    public static PooledBody Apply(ReadOnlySpan<BodyEdit> edits, ReadOnlySpan<byte> body)
    {
        var copy = new PooledBody(body.Length + 64);
        var from = 0;
        foreach (var edit in edits)
        {
            copy.Write(body[from..edit.Place.Start.Value]);
            copy.Write(edit.Text.Span);
            from = edit.Place.End.Value;
        }

        copy.Write(body[from..]);
        return copy;
    }
}

/// <summary>
/// What is known of a model at one host: the context length that the configuration sets, the one it runs with, the longest it supports, and whether it thinks.
/// Null where neither the configuration nor the host says.
/// </summary>
internal readonly record struct HostModelFacts(int? ConfiguredContext, int? RunningContext, int? ContextLimit, bool Thinks);

/// <summary>A host's error. Only the message is always present.</summary>
internal sealed record HostError(string Message, string? Type = null, string? Code = null, string? Param = null, int? Status = null);

/// <summary>Turns one stream's frames into events. Stateful: one reader for each stream.</summary>
internal abstract class EventReader
{
    /// <summary>Adds the frame's events. A frame of another dialect becomes <see cref="ChatEvent.Finished"/> with an error.</summary>
    public abstract void Read(ReadOnlySpan<byte> frame, List<ChatEvent> events);

    /// <summary>
    /// Called at the end of the stream: adds the events that were held back. False if the answer is incomplete: neither its end marker arrived nor, with a
    /// clean end, a finish reason.
    /// </summary>
    /// <param name="events">Receives the events that were held back.</param>
    /// <param name="cleanly">True if the body ended as its framing requires, or if the host stopped sending between two frames.</param>
    public abstract bool End(List<ChatEvent> events, bool cleanly = true);
}

/// <summary>Turns events into one stream's bytes. Stateful: one writer for each stream.</summary>
internal abstract class EventWriter
{
    public abstract void Write(ChatEvent happened, IBufferWriter<byte> output);

    /// <summary>Called when the stream is complete: writes what comes last (usage) and the end marker.</summary>
    public abstract void End(IBufferWriter<byte> output);
}
