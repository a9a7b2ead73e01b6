using System.Net;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Config;

namespace Proxy.Backends;

/// <summary>
/// Asks a host what it is, which dialects it speaks and which models it serves. The requests only read; they never make a host generate or load a model.
/// </summary>
internal static class HostProbe
{
    /// <summary>How many of Ollama's models are asked about in one round, and how many at a time; the others follow in the next rounds.</summary>
    private const int ShownARound = 64, ShownAtATime = 4;

    private static readonly Task<JsonElement?> Nothing = Task.FromResult<JsonElement?>(null);

    /// <summary>
    /// Sends all questions at once. Families in <c>dialects</c> are not verified; only their models are asked for. Values in <paramref name="before"/> that
    /// cannot have changed are not asked for again. If the host is a proxy, it gets <paramref name="asker"/> as this proxy's identity; null sends none. The
    /// client <paramref name="http"/> knows how to reach the host (its authorities, its connect time-out) and adds no header. Throws <see
    /// cref="HostProbeException"/> with the reason if the host cannot be used, <see cref="OperationCanceledException"/> if the caller cancelled.
    /// </summary>
    public static async Task<HostReport> AskAsync(BackendConfig backend, HttpMessageInvoker http, HostReport? before, CancellationToken cancellation,
        ProxyIdentity? asker = null, TimeProvider? time = null)
    {
        if (backend.Url == BackendConfig.BuiltinEcho) return EchoReport(backend);

        var host = new HostQuestions(backend, http, asker, time ?? TimeProvider.System, cancellation);
        var report = await ReportAsync(host, backend, before, asker).ConfigureAwait(false);
        host.RefuseIfUnasked();
        return report;
    }

    private static async Task<HostReport> ReportAsync(HostQuestions host, BackendConfig backend, HostReport? before, ProxyIdentity? asker)
    {
        var families = backend.Dialects;
        bool Asks(DialectFamily family) => families is null || families.Contains(family);
        var asksOpenAi = Asks(DialectFamily.OpenAi) || Asks(DialectFamily.Responses) || Asks(DialectFamily.Anthropic);

        // A host that was a proxy is most likely one still. It is asked first, because a proxy answers all other questions as well.
        if (before?.ProxyId is not null)
        {
            await host.GetAsync("/api/version").ConfigureAwait(false);
            if (await OfProxyAsync(host, backend, asker).ConfigureAwait(false) is { } known) return known;
        }

        var version = families is null ? host.GetAsync("/api/version") : Nothing;
        var tags = Asks(DialectFamily.Ollama) ? host.GetAsync("/api/tags") : Nothing;
        var running = Asks(DialectFamily.Ollama) ? host.GetAsync("/api/ps") : Nothing;
        var listing = asksOpenAi ? host.GetAsync("/v1/models") : Nothing;
        var props = asksOpenAi ? host.GetAsync("/props") : Nothing;
        var info = Asks(DialectFamily.Tei) ? host.GetAsync("/info") : Nothing;
        await Task.WhenAll(version, tags, running, listing, props, info).ConfigureAwait(false);

        if (await OfProxyAsync(host, backend, asker).ConfigureAwait(false) is { } proxy) return proxy;

        var llama = HostProbeJson.Props(await props);
        var openAi = HostProbeJson.OpenAiModels(await listing);
        var ollama = HostProbeJson.OllamaModels(await tags, await running);
        var tei = HostProbeJson.TeiModel(await info);
        var owner = openAi is null ? null : HostProbeJson.Kind(openAi);

        if (openAi is { Count: 1 })
        {
            if (llama?.ContextLength is null && owner == "llama.cpp") llama = HostProbeJson.Slots(await host.GetAsync("/slots")) ?? llama;
            // With one model, the slots' context is that model's. It is what a call gets, so it takes precedence over the listing.
            if (llama?.ContextLength is { } context) openAi = [openAi[0] with { ContextLength = context }];
            // A llama.cpp server is reachable only after its model is loaded.
            if (llama is not null && await props is { } told)
                openAi = [openAi[0] with { Loaded = openAi[0].Loaded ?? true, Traits = ModelTraitsJson.OfProps(told, openAi[0].Traits) }];
        }

        if (owner == "lmstudio") openAi = await LmStudioAsync(host, openAi!);

        if (families is not null)
        {
            if (openAi is null && ollama is null && tei is null) host.RefuseUnlessReached();
            if (ollama is not null) ollama = await ShownAsync(host, ollama, before);
            var kind = Kind(families, ollama, tei, owner, openAi is not null, llama is not null);
            return new(families, Merged(ollama, openAi, tei), llama?.Slots, kind) { Version = HostProbeJson.Build(await props) };
        }

        // llama.cpp first, because it answers some of Ollama's questions too.
        if (llama is not null && openAi is not null)
        {
            var build = HostProbeJson.Build(await props);
            return await LearnAsync(host, new([DialectFamily.OpenAi], openAi, llama?.Slots, "llama.cpp") { Version = build }, before);
        }

        // Ollama offers other dialects too, but honours num_ctx only in its own, so only its own is reported.
        if (ollama is not null && HostProbeJson.Version(await version) is { } release)
        {
            return new([DialectFamily.Ollama], await ShownAsync(host, ollama, before), null, "ollama") { Version = release };
        }

        // TEI has /v1/embeddings, but no /v1/models that would show it.
        if (tei is { } one)
        {
            return new(one.Embeds ? [DialectFamily.Tei, DialectFamily.OpenAi] : [DialectFamily.Tei], [one.Model], null, "tei")
            {
                Version = HostProbeJson.Version(await info),
            };
        }

        if (openAi is not null)
        {
            var itsVersion = owner == "vllm" ? HostProbeJson.Version(await host.GetAsync("/version")) : null;
            return await LearnAsync(host, new([DialectFamily.OpenAi], openAi, llama?.Slots, owner ?? "openai") { Version = itsVersion }, before);
        }

        host.RefuseUnlessReached();
        throw new HostProbeException("answers, but lists no models in a known dialect; write the dialects that it speaks in dialects") { Answered = true };
    }

    /// <summary>The report of a host that has identified itself as a proxy; null if it has not.</summary>
    private static async Task<HostReport?> OfProxyAsync(HostQuestions host, BackendConfig backend, ProxyIdentity? asker)
    {
        if (host.ProxyId is not { } id) return null;
        if (id == asker?.Id) return ProxyListing.Read(null, id, backend.Dialects, asker);
        if (await host.GetAsync("/v1/models").ConfigureAwait(false) is { } listing) return ProxyListing.Read(listing, id, backend.Dialects, asker);
        host.RefuseUnlessReached();
        throw new HostProbeException("is a proxy, but does not list its models");
    }

    private static HostReport EchoReport(BackendConfig backend) => new(
        [.. Enum.GetValues<DialectFamily>().Where(family => family is not DialectFamily.Tei)],
        [.. backend.Models.Select(model => new HostModel(model, null, Loaded: true, null))],
        Slots: null,
        Kind: "echo");

    /// <summary>
    /// Adds the families that a host of OpenAI's dialect speaks besides. Their routes accept only POST: if the route exists, most servers answer a GET with
    /// 405,
    /// otherwise with 404. llama.cpp and LM Studio answer a GET alike in both cases, but refuse an empty object (400) if the route exists.
    /// </summary>
    private static async Task<HostReport> LearnAsync(HostQuestions host, HostReport report, HostReport? before)
    {
        if (before is { IsLearned: true } && before.Kind == report.Kind && before.Version == report.Version)
        {
            return report with { Dialects = before.Dialects, IsLearned = true };
        }

        var json = report.Kind is "llama.cpp" or "lmstudio" ? "{}" : null;
        var (responses, messages, nonsense) = (
            host.AskAsync("/v1/responses", json), host.AskAsync("/v1/messages", json), host.AskAsync("/v1/no-such-route", json));
        var answers = await Task.WhenAll(responses, messages, nonsense).ConfigureAwait(false);
        return report with
        {
            Dialects = [.. report.Dialects, .. Spoken(answers[0], DialectFamily.Responses), .. Spoken(answers[1], DialectFamily.Anthropic)],
            IsLearned = answers.All(answer => answer.Status is not null),
        };

        // If a host answers a route that cannot exist in the same way, its answer means nothing.
        DialectFamily[] Spoken(HostAnswer answer, DialectFamily family) =>
            answer.Status != answers[2].Status
                && (json is null
                    ? answer.Status is HttpStatusCode.MethodNotAllowed
                    : answer.Status is HttpStatusCode.BadRequest or HttpStatusCode.UnprocessableEntity)
                ? [family]
                : [];
    }

    /// <summary>Adds what <c>/api/show</c> reports about each model, without loading it. A model is asked about again only if its digest has changed.</summary>
    private static async Task<IReadOnlyList<HostModel>> ShownAsync(HostQuestions host, IReadOnlyList<HostModel> listed, HostReport? before)
    {
        var known = (before?.Models ?? []).Where(model => model.ShownDigest is not null).DistinctBy(model => model.Name).ToDictionary(model => model.Name);
        using var few = new SemaphoreSlim(ShownAtATime);
        var left = ShownARound;
        return await Task.WhenAll(listed.Select(async model =>
        {
            var digest = HostProbeJson.Digest(model) ?? "";
            if (digest.Length > 0 && known.TryGetValue(model.Name, out var same) && same.ShownDigest == digest) return With(model, same.Traits, digest);
            if (--left < 0) return model;

            await few.WaitAsync().ConfigureAwait(false);
            try
            {
                var question = $"{{\"model\":{System.Text.Encoding.UTF8.GetString(Chat.ModelName.Json(model.Name).Span)}}}";
                return await host.PostAsync("/api/show", question).ConfigureAwait(false) is { ValueKind: JsonValueKind.Object } show
                    ? With(model, ModelTraitsJson.OfShow(show), digest) : model;
            }
            finally
            {
                few.Release();
            }
        })).ConfigureAwait(false);

        static HostModel With(HostModel model, Chat.ModelTraits told, string digest)
        {
            var traits = told with { Running = model.Traits.Running };
            return model with
            {
                Traits = traits,
                ShownDigest = digest,
                ContextLength = model.ContextLength ?? ModelTraitsJson.ContextOf(traits.Parameters),
                ContextLimit = model.ContextLimit ?? ModelTraitsJson.ContextLimit(traits),
            };
        }
    }

    private static async Task<IReadOnlyList<HostModel>> LmStudioAsync(HostQuestions host, IReadOnlyList<HostModel> listed)
    {
        var (older, newer) = (host.GetAsync("/api/v0/models"), host.GetAsync("/api/v1/models"));
        var (v0, v1) = (HostProbeJson.LmStudio(await older, "data", "id"), HostProbeJson.LmStudio(await newer, "models", "key"));
        return
        [
            .. listed.Select(model => v0.TryGetValue(model.Name, out var entry) ? ModelTraitsJson.OfLmStudio(model, entry.Clone()) : model)
                .Select(model => v1.TryGetValue(model.Name, out var entry) ? ModelTraitsJson.OfLmStudioV1(model, entry.Clone()) : model),
        ];
    }

    private static string? Kind(
        IReadOnlyList<DialectFamily> families, IReadOnlyList<HostModel>? ollama, (HostModel, bool)? tei, string? owner, bool isOpenAi, bool isLlama) =>
        isLlama ? "llama.cpp"
        : owner is not null ? owner
        : ollama is not null && families.Contains(DialectFamily.Ollama) ? "ollama"
        : tei is not null ? "tei"
        : isOpenAi ? "openai"
        : null;

    /// <summary>Each model once. If a host lists it in several dialects, Ollama's entry is used, because it has the most details.</summary>
    private static List<HostModel> Merged(IReadOnlyList<HostModel>? ollama, IReadOnlyList<HostModel>? openAi, (HostModel Model, bool)? tei) =>
        [.. (ollama ?? []).Concat(openAi ?? []).Concat(tei is { } one ? [one.Model] : []).DistinctBy(model => model.Name)];
}
