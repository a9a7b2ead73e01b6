using System.Text.Json;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Routes;

/// <summary>The number of tokens of a prompt. An estimate is rarely below the true number.</summary>
internal readonly record struct CountedTokens(long Tokens, bool Estimated);

/// <summary>
/// Counts the tokens of a call's prompt without answering the call: with the host's own counter if it has one, otherwise with an over-estimate. Agents fill
/// a context up to the reported number, so a number that is too low would lead to an error. Takes no slot, because the host does not generate.
/// </summary>
internal sealed class TokenCount(BackendDirectory directory)
{
    /// <summary>An allowance for the tokens that chat templates add for each message, for the tools together, and for each tool.</summary>
    private const int MessageFrame = 8, ToolsFrame = 400, ToolFrame = 16;

    /// <summary>The count, or an error if the request is invalid or no backend serves its model.</summary>
    public async ValueTask<(CountedTokens Counted, ProxyError? Error)> CountAsync(ChatCall call, CancellationToken cancellation)
    {
        var model = call.Envelope.Model;
        if (directory.Table.Resolve(model) is not { } resolution) return (default, DirectRoute.UnknownModel(model));
        if (call.TryGetRequest(out var request) is { } problem) return (default, problem);

        foreach (var backend in resolution.Candidates)
        {
            if (backend.IsEcho || !backend.State.Available || !ProxyWays.Leads(backend, resolution.Served, call.Info.Via, directory.Identity)) continue;
            foreach (var question in Questions(
                backend, call, request! with { Model = resolution.Served, Stream = false, IncludeUsage = false }, resolution.Served))
            {
                using var asked = question.Body;
                using var answer =
                    await HostCounter.AskAsync(backend, question.Path, asked.Memory, question.Version, call.Headers, call.Info, cancellation);
                if (answer is { Status: 200 } && Read(answer.Body.Span) is { } tokens) return (new(tokens, answer.Estimated), null);
            }

            break; // if one host of the model cannot count it, the others cannot either
        }

        return (new(Estimate(request!), Estimated: true), null);
    }

    /// <summary>An over-estimate of the prompt's tokens.</summary>
    public static long Estimate(ChatRequest request) =>
        PromptSize.Of(request).Most + ((request.Messages.Count + 1L) * MessageFrame)
        + (request.Tools.Count == 0 ? 0 : ToolsFrame + ((long)request.Tools.Count * ToolFrame));

    /// <summary>The requests that may make the host count, the most reliable first.</summary>
    private static IEnumerable<(string Path, PooledBody Body, KeyValuePair<string, string>? Version)> Questions(
        Backend backend, ChatCall call, ChatRequest request, string served)
    {
        const string Native = "/v1/messages/count_tokens";
        var kind = backend.State.Report?.Kind;
        var counts = kind is "llama.cpp" or "vllm";
        var anthropic = backend.DialectFor(DialectName.Anthropic) is { Name: DialectName.Anthropic } spoken ? spoken : null;
        if (call.Dialect.Name is DialectName.OpenAiResponses
            && backend.DialectFor(DialectName.OpenAiResponses) is { Name: DialectName.OpenAiResponses } responses)
            yield return ("/v1/responses/input_tokens", Body(responses), null);
        if (anthropic is not null && (call.Dialect.Name is DialectName.Anthropic || !counts)) yield return (Native, Body(anthropic), anthropic.VersionHeader);
        if (!counts || backend.DialectFor(DialectName.OpenAiChat) is not { Name: DialectName.OpenAiChat } openAi) yield break;
        yield return (kind is "vllm" ? "/tokenize" : "/v1/chat/completions/input_tokens", Body(openAi), null);
        // A fork of llama.cpp has only Anthropic's counter, even if it does not speak Anthropic's chat dialect.
        if (kind is "llama.cpp" && anthropic is null && call.Dialect.Name is DialectName.Anthropic && call.OriginalBody is { } own)
            yield return (Native, Named(own), null);

        PooledBody Body(BackendDialect dialect)
        {
            if (dialect.Name == call.Dialect.Name && call.OriginalBody is { } bytes) return Named(bytes);
            var body = new PooledBody();
            dialect.WriteRequest(request, served, body, []);
            return body;
        }

        PooledBody Named(ReadOnlyMemory<byte> bytes) => BodyEdit.Apply([new(call.Envelope.ModelSlice, ModelName.Json(served))], bytes.Span);
    }

    /// <summary>Reads <c>input_tokens</c> (Anthropic's and OpenAI's counters) or <c>count</c> (vLLM's). Null if there is neither.</summary>
    private static long? Read(ReadOnlySpan<byte> body)
    {
        try
        {
            var json = new Utf8JsonReader(body);
            json.Read();
            if (json.TokenType is not JsonTokenType.StartObject) return null;
            while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
            {
                var counts = json.ValueTextEquals("input_tokens"u8) || json.ValueTextEquals("count"u8);
                json.Read();
                if (counts && json.TokenType is JsonTokenType.Number && json.TryGetInt64(out var tokens) && tokens >= 0) return tokens;
                json.Skip();
            }
        }
        catch (JsonException)
        {
            // Not JSON: try the next request, or estimate.
        }

        return null;
    }
}
