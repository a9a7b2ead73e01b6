using Proxy.Chat;
using Proxy.Dialects.OpenAiResponses;

namespace Proxy.Composition.Features;

/// <summary>OpenAI's Responses. None is stored, so none can be fetched by its id.</summary>
internal static class ResponsesFeature
{
    public static void Add(PartsBuilder parts)
    {
        var dialect = new OpenAiResponsesClientDialect();
        parts.Endpoints.AddRange(
        [
            parts.Chat(dialect, "/v1/responses", "/responses"),
            parts.Count(dialect, OpenAiResponsesJson.WriteCount, "/v1/responses/input_tokens"),
            new("POST", ["/v1/responses/compact"], parts.Relay.HandleAsync),
            new("*", ["/v1/responses/compact"], parts.Errors.UnknownPathAsync),
            new("*", ["/v1/responses/"], context => parts.Errors.RefuseAsync(context, NotKept(context.Request))),
        ]);
    }

    private static ProxyError NotKept(HttpRequest request) =>
        new(ProxyErrorKind.UnknownPath, $"this proxy keeps no responses yet: there is nothing at {request.Method} {request.Path}") { Code = "response_not_found" };
}
