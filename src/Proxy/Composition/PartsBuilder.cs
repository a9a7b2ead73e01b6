using System.Buffers;
using Proxy.Backends;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects.OpenAiChat;
using Proxy.Http;
using Proxy.Knowledge;
using Proxy.Routes;
using Proxy.Streams;
using Proxy.Workflows;

namespace Proxy.Composition;

/// <summary>A setting that a reload cannot change: its name in the file, and its value.</summary>
internal sealed record FixedSetting(string Name, Func<ProxyConfig, object?> Value);

/// <summary>The objects that all features share, and the lists to which each feature adds its own.</summary>
/// <param name="Config">The configuration that the process was started with.</param>
/// <param name="Directory">The backends.</param>
/// <param name="Slots">Grants the slots of the backends.</param>
/// <param name="Dispatcher">Sends calls to the backends.</param>
/// <param name="Catalog">Lists the models.</param>
/// <param name="Images">Fetches the images that prompts refer to.</param>
/// <param name="Exchange">What every exchange is made of.</param>
/// <param name="Owned">The objects to dispose when the process ends, in reverse order.</param>
internal sealed record PartsBuilder(
    ProxyConfig Config, BackendDirectory Directory, SlotQueue Slots, BackendDispatcher Dispatcher, ModelCatalog Catalog, RemoteImages Images,
    ExchangeParts Exchange, Stack<IDisposable> Owned)
{
    /// <summary>The rows of the table of URLs.</summary>
    public List<EndpointRow> Endpoints { get; } = [];

    /// <summary>A request belongs to the first of these that has it; the last has every request.</summary>
    public List<Surface> Surfaces { get; } = [];

    /// <summary>A call is answered by the first of these that takes it, else by the direct route.</summary>
    public List<IChatRoute> ChatRoutes { get; } = [];

    /// <summary>Each says whether the models that the file configures for this process are loaded; null: it configures none.</summary>
    public List<Func<bool?>> Readiness { get; } = [];

    /// <summary>Rows of the admin socket.</summary>
    public List<EndpointRow> AdminRows { get; } = [];

    /// <summary>Each says what the process cannot do at present although it serves calls, for an operator; null: nothing.</summary>
    public List<Func<string?>> Degraded { get; } = [];

    /// <summary>Work that runs from the start of the process until it is cancelled.</summary>
    public List<Func<CancellationToken, Task>> Background { get; } = [];

    /// <summary>
    /// Work that only one process of a service may do at a time. It ends when this process hands over to another, and when this process stops.
    /// </summary>
    public List<Func<CancellationToken, Task>> Alone { get; } = [];

    /// <summary>What <c>/ready</c> reports besides the backends. None of it makes the proxy less ready.</summary>
    public List<Func<ReadyDetail>> Details { get; } = [];

    /// <summary>Each removes from memory what a feature keeps there of an owner, once the owner's records have been deleted.</summary>
    public List<Action<string>> Forgets { get; } = [];

    /// <summary>The database that remembers calls; null: there is none. Read it when a call needs it: the feature that has it may come later.</summary>
    public IRecordStore? Store { get; set; }

    /// <summary>Where documents are kept; null: where the configuration says.</summary>
    public IKnowledgeStore? Documents { get; set; }

    /// <summary>Workspaces of documents; null: knowledge is off, or has no place.</summary>
    public KnowledgeParts? Knowledge { get; set; }

    /// <summary>The journals that are shared with other proxies; null: there are none.</summary>
    public ISharedJournals? Journals { get; set; }

    /// <summary>What starts the jobs of pipelines, one for each word of <c>launcher</c>.</summary>
    public List<ILauncher> Launchers { get; } = [];

    /// <summary>What carries the events of jobs that run elsewhere; null: there is no NATS.</summary>
    public IWorkflowBus? Bus { get; set; }

    /// <summary>The base of OpenAI's API at this proxy, as a program on this machine reaches it; null until the process listens.</summary>
    public string? BaseUrl { get; set; }

    /// <summary>Where what jobs produce is kept; null: nowhere.</summary>
    public IArtifactStore? Artifacts { get; set; }

    public List<FixedSetting> FixedSettings { get; } = [];

    /// <summary>The last of the chat routes. The others may pass a call on to it.</summary>
    public DirectRoute Direct { get; } = new(Directory, Dispatcher, Images, new PromptPrefixes(Exchange.Metrics), Exchange.Log, Exchange.Time);

    /// <summary>Answers a POST below <c>/v1/</c> that has no row.</summary>
    public ModelExchange Relay { get; } = new(new OpenAiChatClientDialect(), new OpenAiChatBackendDialect(), new ModelRelay(Directory, Dispatcher), Exchange);

    public ErrorEndpoints Errors => new(Surfaces, Exchange);

    public ModelEndpoints Models => new(Catalog, Surfaces, Exchange, ProxyHost.Version);

    /// <summary>A row that serves a chat dialect. The first path names the calls in the log; the others are served alike.</summary>
    public EndpointRow Chat(ClientDialect dialect, params string[] paths) =>
        new("POST", paths, new ChatExchange(paths[0], dialect, new RouteTable(ChatRoutes), Exchange).HandleAsync);

    /// <summary>A row that counts the tokens of a dialect's prompts.</summary>
    public EndpointRow Count(ClientDialect dialect, Action<long, IBufferWriter<byte>> write, string path) =>
        new("POST", [path], new CountExchange(path, dialect, write, new TokenCount(Directory), Exchange).HandleAsync);

    /// <summary>The table of URLs. Call it once, after every feature has added its part.</summary>
    public Endpoints Build(AdminEndpoints admin)
    {
        ChatRoutes.Add(Direct);
        admin.More.AddRange(AdminRows);
        var all = new Endpoints(Endpoints, admin, Relay, Errors, Exchange.Gate);
        admin.More.Add(new("*", [Forwarding.Root], context => Forwarding.ServeAsync(context, Exchange.Gate, all.HandleAsync)));
        return all;
    }
}
