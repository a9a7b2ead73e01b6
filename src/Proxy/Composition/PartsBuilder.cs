using System.Buffers;
using Proxy.Backends;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects.OpenAiChat;
using Proxy.Http;
using Proxy.Routes;

namespace Proxy.Composition;

/// <summary>A setting that a reload cannot change: its name in the file, and its value.</summary>
internal sealed record FixedSetting(string Name, Func<ProxyConfig, object?> Value);

/// <summary>What the features share, and the lists that they add to.</summary>
/// <param name="Config">The configuration of the start.</param>
/// <param name="Images">Fetches the images that prompts refer to.</param>
/// <param name="Owned">Disposed at the end, the last first.</param>
internal sealed record PartsBuilder(
    ProxyConfig Config, BackendDirectory Directory, SlotQueue Slots, BackendDispatcher Dispatcher, ModelCatalog Catalog, RemoteImages Images, ExchangeParts Exchange, Stack<IDisposable> Owned)
{
    /// <summary>The rows of the table of URLs.</summary>
    public List<EndpointRow> Endpoints { get; } = [];

    /// <summary>Asked in this order whether a request is theirs; the last takes every one.</summary>
    public List<Surface> Surfaces { get; } = [];

    /// <summary>Asked in this order whether they take a call; the direct one follows them.</summary>
    public List<IChatRoute> ChatRoutes { get; } = [];

    /// <summary>Whether what a feature runs in this process is loaded; null where the file does not ask for it.</summary>
    public List<Func<bool?>> Readiness { get; } = [];

    /// <summary>What runs beside the calls, from the start until it is cancelled.</summary>
    public List<Func<CancellationToken, Task>> Background { get; } = [];

    public List<FixedSetting> FixedSettings { get; } = [];

    /// <summary>The last of the chat routes, to which the others may hand on a call.</summary>
    public DirectRoute Direct { get; } = new(Directory, Dispatcher, Images, new PromptPrefixes(Exchange.Metrics), Exchange.Log, Exchange.Time);

    /// <summary>Answers the calls below <c>/v1/</c> that have no row.</summary>
    public ModelExchange Relay { get; } = new(new OpenAiChatClientDialect(), new OpenAiChatBackendDialect(), new ModelRelay(Directory, Dispatcher), Exchange);

    public ErrorEndpoints Errors => new(Surfaces, Exchange);

    public ModelEndpoints Models => new(Catalog, Surfaces, Exchange, ProxyHost.Version);

    /// <summary>Serves a dialect of chat under the first path, and under others that mean the same.</summary>
    public EndpointRow Chat(ClientDialect dialect, params string[] paths) => new("POST", paths, new ChatExchange(paths[0], dialect, new RouteTable(ChatRoutes), Exchange).HandleAsync);

    /// <summary>Counts the tokens of prompts of a dialect.</summary>
    public EndpointRow Count(ClientDialect dialect, Action<long, IBufferWriter<byte>> write, string path) =>
        new("POST", [path], new CountExchange(path, dialect, write, new TokenCount(Directory), Exchange).HandleAsync);

    public Endpoints Build(AdminEndpoints admin)
    {
        ChatRoutes.Add(Direct);
        return new(Endpoints, admin, Relay, Errors, Exchange.Gate);
    }
}
