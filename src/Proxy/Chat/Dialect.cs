using System.Buffers;
using Proxy.Buffers;

namespace Proxy.Chat;

/// <summary>How a dialect marks where one message of a stream ends.</summary>
internal enum StreamFraming { ServerSentEvents, JsonLines }

/// <summary>A wire format, by name. Several belong to one family of a backend's <c>dialects</c>.</summary>
internal enum DialectName { OpenAiChat, OpenAiCompletions, OpenAiResponses, OllamaChat, OllamaGenerate, Anthropic, Events }

/// <summary>What a stream's frame means to whoever decides on failover.</summary>
internal enum FrameKind
{
    /// <summary>Says nothing yet: a role, an id, a comment, a ping.</summary>
    Preamble,

    /// <summary>Content, or anything else a client would miss.</summary>
    Content,

    /// <summary>The host failed and says so inside the stream.</summary>
    Error,

    /// <summary>The stream's own end marker.</summary>
    End,
}

/// <summary>What makes two identical answers differ on the wire; fixed in tests. <paramref name="Model"/> is the name the client asked for.</summary>
internal readonly record struct ReplyStamp(string TraceId, DateTimeOffset Created, string Model)
{
    /// <summary>The client wants usage in its stream although its dialect leaves it out by default.</summary>
    public bool IncludeUsage { get; init; }

    /// <summary>What was asked, for dialects whose answers repeat it.</summary>
    public ChatRequest? Request { get; init; }

    /// <summary>The workflow's run that answers; null where none does.</summary>
    public string? RunId { get; init; }
}

/// <summary>How a surface says that something went wrong; the whole of what surfaces have in common that do not chat. Stateless and shared.</summary>
internal abstract class ErrorDialect
{
    /// <summary>The body of an error response.</summary>
    public abstract void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output);

    /// <summary>The frame, or frames, that end a stream which broke after it had begun.</summary>
    public abstract void WriteStreamError(ProxyError error, string traceId, IBufferWriter<byte> output);

    /// <summary>The HTTP status by which this surface's clients know the error.</summary>
    public virtual int StatusOf(ProxyError error) => error.Status;

    public virtual string ErrorContentType(ProxyError error) => "application/json";

    /// <summary>The header in which this surface's clients look for the id of their call, besides ours; null where they look for none.</summary>
    public virtual string? RequestIdHeader => null;
}

/// <summary>The client's side of a dialect: requests come in, answers go out. Stateless and shared.</summary>
internal abstract class ClientDialect : ErrorDialect
{
    public abstract DialectName Name { get; }
    public abstract StreamFraming Framing { get; }

    /// <summary>What its clients ask of a model, in a word.</summary>
    public virtual string Verb => "chat";

    public abstract string StreamContentType { get; }
    public abstract string WholeContentType { get; }

    public override string ErrorContentType(ProxyError error) => WholeContentType;

    /// <summary>What a body without <c>stream</c> asks for (Ollama: true).</summary>
    public abstract bool StreamsByDefault { get; }

    /// <summary>Bytes that keep an idle stream alive between two frames; empty where the dialect has none.</summary>
    public abstract ReadOnlySpan<byte> KeepAlive { get; }

    /// <summary>What this dialect's surface refuses whichever host would answer. Asked of every call: cheap where there is nothing.</summary>
    public virtual ProxyError? Refuses(ReadOnlySpan<byte> body) => null;

    /// <summary>The edits that make what an agent changes in every prompt for no reader the same in every call; mostly none. None changes a length.</summary>
    public virtual IReadOnlyList<BodyEdit> NormalisePrompt(ReadOnlySpan<byte> body) => [];

    /// <summary>Adds where the pieces of the prompt stand, in the order in which a model reads them.</summary>
    public virtual void CutPrompt(ReadOnlySpan<byte> body, List<Range> pieces) { }

    /// <summary>Parses the whole body. On bad input returns the error that names the field, and no request.</summary>
    public abstract ProxyError? ReadRequest(ReadOnlyMemory<byte> body, out ChatRequest? request);

    /// <summary>The answer to a request that means something to a host of this dialect only, and is granted without one elsewhere (Ollama's load and unload). Null: a chat like any other.</summary>
    public virtual IReadOnlyList<ChatEvent>? AnswerElsewhere(ChatRequest request) => null;

    public abstract EventWriter NewEventWriter(ReplyStamp stamp);

    /// <summary>The whole answer as one document, from all its events.</summary>
    public abstract void WriteWhole(IReadOnlyList<ChatEvent> events, ReplyStamp stamp, IBufferWriter<byte> output);
}

/// <summary>The backend's side of a dialect: requests go out, answers come in. Stateless and shared.</summary>
internal abstract class BackendDialect
{
    public abstract DialectName Name { get; }
    public abstract StreamFraming Framing { get; }

    /// <summary>Path of the chat call, from the host's root.</summary>
    public abstract string ChatPath { get; }

    /// <summary>A header without which the host takes no call; the client's own goes before it. Null: none.</summary>
    public virtual KeyValuePair<string, string>? VersionHeader => null;

    /// <summary>Takes a text to continue, where others take a conversation.</summary>
    public virtual bool TakesPrompts => false;

    /// <summary>Sets what has to be asked of this host because of what it said of the model, or says why it cannot be asked.</summary>
    public virtual ProxyError? Fit(ref ChatRequest request, in HostModelFacts facts) => null;

    /// <summary>
    /// What is wrong with sending this request to a host of this dialect at all; null when it can be said, if perhaps with losses. A loss that would make the answer
    /// one to another question (an image left out) is refused here, not lost.
    /// </summary>
    public virtual ProxyError? Unsayable(ChatRequest request) => null;

    /// <summary>Writes the request in this dialect and names what it cannot say (request fields that are lost), for the log.</summary>
    public abstract void WriteRequest(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost);

    public abstract EventReader NewEventReader();

    /// <summary>A whole answer as events. False when it is not one, or says itself that it is not complete.</summary>
    public abstract bool TryReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events);

    /// <summary>What has to stand where in a client's own body so that the host counts a stream's tokens although the client did not ask; null where nothing has to.</summary>
    public virtual BodyEdit? AskUsage(ReadOnlySpan<byte> body, ChatEnvelope envelope) => null;

    /// <summary>Whether a frame that counts tokens says nothing else: a client that did not ask for it must not see it.</summary>
    public virtual bool OnlyCounts(ReadOnlySpan<byte> frame) => false;

    /// <summary>Takes an image by its address, too; otherwise it has to stand in the request.</summary>
    public virtual bool TakesImageAddresses => true;

    /// <summary>What a frame means; cheap, and sure only of what it can see in that frame. The frame is the payload: without <c>data:</c> and line ends.</summary>
    public abstract FrameKind Classify(ReadOnlySpan<byte> frame);

    /// <summary>Whether the frame is the stream's end marker. Asked of every relayed frame: override where <see cref="Classify"/> parses.</summary>
    public virtual bool IsEnd(ReadOnlySpan<byte> frame) => Classify(frame) is FrameKind.End;

    /// <summary>What ends a stream of this dialect, as a client reads it: added where the host said why it finished and left the marker out. Empty where the last event itself is the marker.</summary>
    public virtual ReadOnlySpan<byte> EndMarker => default;

    /// <summary>Whether the frame says why the answer finished. Asked of every relayed frame of a dialect that has an <see cref="EndMarker"/>; must not parse.</summary>
    public virtual bool SaysWhyFinished(ReadOnlySpan<byte> frame) => false;

    /// <summary>Whether a member of this name (in its quotes) has a text for its value, anywhere in the frame. Inside a text the quotes would be escaped.</summary>
    protected static bool HasText(ReadOnlySpan<byte> frame, ReadOnlySpan<byte> name)
    {
        while (frame.IndexOf(name) is var at and >= 0)
        {
            frame = frame[(at + name.Length)..];
            if (frame.TrimStart(" :"u8) is [(byte)'"', ..]) return true;
        }

        return false;
    }

    /// <summary>False when a whole 200 answer is not an answer: an error object, or one that says it broke off (Ollama's <c>"done":false</c>).</summary>
    public abstract bool IsWholeAnswer(ReadOnlySpan<byte> body);

    /// <summary>The host's own words in an error body or error frame. Never null: what cannot be read is quoted, shortened.</summary>
    public abstract HostError ReadError(ReadOnlySpan<byte> body);

    /// <summary>Finds the token counts in one frame or whole body by a scan, without parsing the rest. Null when it holds none.</summary>
    public abstract Usage? FindUsage(ReadOnlySpan<byte> frame);
}

/// <summary>A replacement in a body that otherwise stays as it came.</summary>
internal readonly record struct BodyEdit(Range Place, ReadOnlyMemory<byte> Text)
{
    /// <summary>A copy of the body with all of the edits, which stand in the order of their places. Null where there are none.</summary>
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

/// <summary>What is known of a model at one host: the context that its operator configured for it, the one that it runs with, the most that it takes, and whether it thinks. Null: nobody said.</summary>
internal readonly record struct HostModelFacts(int? ConfiguredContext, int? RunningContext, int? ContextLimit, bool Thinks);

/// <summary>What a host said of its failure; only the message is sure to be there.</summary>
internal sealed record HostError(string Message, string? Type = null, string? Code = null, string? Param = null, int? Status = null);

/// <summary>Turns one stream's frames into events. Stateful: one reader per stream.</summary>
internal abstract class EventReader
{
    /// <summary>Adds what the frame says. A frame that is not of this dialect becomes <see cref="ChatEvent.Finished"/> with an error.</summary>
    public abstract void Read(ReadOnlySpan<byte> frame, List<ChatEvent> events);

    /// <summary>The stream is over: adds what was held back. False when the answer is not whole: neither its end marker came nor, with a clean end, the reason why it finished.</summary>
    /// <param name="events">Gets what was held back.</param>
    /// <param name="cleanly">The body ended as its framing says, or the host fell silent: not in the middle of anything.</param>
    public abstract bool End(List<ChatEvent> events, bool cleanly = true);
}

/// <summary>Turns events into one stream's bytes. Stateful: one writer per stream.</summary>
internal abstract class EventWriter
{
    public abstract void Write(ChatEvent happened, IBufferWriter<byte> output);

    /// <summary>The stream is over and whole: writes its end marker and what comes last (usage).</summary>
    public abstract void End(IBufferWriter<byte> output);
}
