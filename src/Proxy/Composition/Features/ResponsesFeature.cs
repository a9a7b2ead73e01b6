using Proxy.Dialects.OpenAiResponses;
using Proxy.Http.Responses;
using Proxy.Routes;

namespace Proxy.Composition.Features;

/// <summary>OpenAI's Responses, and those of them that are kept.</summary>
internal static class ResponsesFeature
{
    public static void Add(PartsBuilder parts)
    {
        var exchange = parts.Exchange;
        var kept = new KeptResponses(exchange.Sharing.Journals, () => parts.Directory.Table.Config, () => parts.Store, exchange.Log, exchange.Time);
        parts.Endpoints.AddRange(
        [
            new("POST", ["/v1/responses", "/responses"], new ResponsesExchange("/v1/responses", new RouteTable(parts.ChatRoutes), kept, exchange).HandleAsync),
            parts.Count(KeptResponses.Dialect, OpenAiResponsesJson.WriteCount, "/v1/responses/input_tokens"),
            new("POST", ["/v1/responses/compact"], parts.Relay.HandleAsync),
            new("*", ["/v1/responses/compact"], parts.Errors.UnknownPathAsync),
            .. new ResponseEndpoints(kept, exchange).Rows,
        ]);
    }
}
