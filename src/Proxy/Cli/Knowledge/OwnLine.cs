using System.Text.Json;
using Proxy.Buffers;
using Proxy.Composition;
using Proxy.Config;
using Proxy.Knowledge;
using Proxy.Knowledge.Ingest;
using Proxy.Store;
using Proxy.Telemetry;

namespace Proxy.Cli.Knowledge;

/// <summary>
/// The operator's requests to the store of this user, in this process, because no proxy runs. Everything is made as the proxy makes it, but nothing listens,
/// and files are read only while a command waits for them.
/// </summary>
internal sealed class OwnLine : IOperatorLine
{
    private readonly LogWriter writer;
    private readonly Parts parts;
    private readonly KnowledgeParts knowledge;
    private readonly KnowledgeOperator requests;
    private readonly IngestLock? held;
    private readonly CancellationTokenSource stop = new();
    private readonly Task working;

    private OwnLine(Parts parts, LogWriter writer, KnowledgeParts knowledge, ProxyConfig config, IngestLock? held, bool works)
    {
        (this.parts, this.writer, this.knowledge, this.held) = (parts, writer, knowledge, held);
        requests = new(knowledge, config.Knowledge, parts.Time);
        Place = KnowledgeStores.Place(config) ?? "";
        IsOwn = works;
        // Only a model that is named may be one at a host, and is found by asking the hosts.
        var probing = config.Knowledge is { Embedders.Count: 0, Reranker: null } ? Task.CompletedTask : parts.Probe.RunAsync(stop.Token);
        working = works ? Task.WhenAll(probing, WorkAsync()) : probing;
    }

    public string Place { get; }

    public bool IsOwn { get; }

    /// <summary>Opens the store. Throws <see cref="LibraryException"/> if there is none, or another process is reading documents into it.</summary>
    /// <param name="around">The environment.</param>
    /// <param name="named">The configuration file; null: the usual one.</param>
    /// <param name="works">Whether files are read, for which the store's lock is taken.</param>
    public static OwnLine Open(Surroundings around, string? named, bool works)
    {
        var path = ConfigFile.Find(named, around.Environment);
        var result = ConfigFile.Load(path, around.Sources);
        if (result.Config is not { } config)
        {
            around.Tell(path, result.Problems);
            throw new LibraryException(ExitCode.ConfigProblem, "No proxy is running, and the configuration for a store without one has problems.");
        }

        if (!config.Knowledge.Enabled || KnowledgeStores.Place(config) is null) throw new LibraryException(KnowledgeParts.Absent(config.Knowledge));
        var held = works && config.Store is not { Kind: "postgres" } ? Take(config.Knowledge.Folder!) : null;
        var writer = new LogWriter(new Lines(around.Error));
        try
        {
            // Warnings are for the user of the command; everything else of the log is for the operator of a server.
            KnowledgeParts? knowledge = null;
            PartsBuilder? builder = null;
            var quiet = config with { Log = config.Log with { Level = "error" } };
            var parts = new Parts(new LoadedConfig(path, quiet) { Sources = around.Sources }, writer, TimeProvider.System, made => builder = made);
            knowledge = builder?.Knowledge;
            if (knowledge is not null) return new(parts, writer, knowledge, config, held, works);
            parts.Dispose();
            throw new LibraryException(KnowledgeParts.Absent(config.Knowledge));
        }
        catch
        {
            writer.Dispose();
            held?.Dispose();
            throw;
        }
    }

    public async Task<ReadOnlyMemory<byte>> AskAsync(string verb, ReadOnlyMemory<byte> asked, Stream? content, CancellationToken cancellation)
    {
        using var request = JsonDocument.Parse(asked);
        using var body = new PooledBody();
        await parts.Probe.FirstRound.WaitAsync(cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        try
        {
            var json = new Utf8JsonWriter(body);
            await using var flushed = json.ConfigureAwait(false);
            json.WriteStartObject();
            await requests.AnswerAsync(verb, request.RootElement, content ?? Stream.Null, json, cancellation).ConfigureAwait(false);
            json.WriteEndObject();
            await json.FlushAsync(cancellation).ConfigureAwait(false);
            return body.Memory.ToArray();
        }
        catch (Exception e) when (e is OperatorException or KnowledgeStoreException)
        {
            throw new LibraryException(e.Message) { IsOfFile = verb == "add" && e is OperatorException };
        }
    }

    public async Task<IReadOnlyList<BackupFile>> BackupAsync(string folder, CancellationToken cancellation)
    {
        try
        {
            await knowledge.Store.BackupAsync(folder, cancellation).ConfigureAwait(false);
        }
        catch (KnowledgeStoreException e)
        {
            throw new LibraryException(e.Message);
        }

        return [.. Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .Select(path => new BackupFile(Path.GetRelativePath(folder, path), new FileInfo(path).Length))];
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync().ConfigureAwait(false);
        await working.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        parts.Dispose();
        writer.Dispose();
        held?.Dispose();
        stop.Dispose();
    }

    private async Task WorkAsync()
    {
        await parts.Probe.FirstRound.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await knowledge.Ingest.RunAsync(held is not null, stop.Token).ConfigureAwait(false);
    }

    private static IngestLock Take(string folder)
    {
        try
        {
            return IngestLock.TryTake(folder) ?? throw new LibraryException(
                $"another command or proxy is reading documents into {folder}: try again when it has finished (it holds {IngestLock.Name})");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LibraryException($"{folder} cannot be used: {e.Message}");
        }
    }

    /// <summary>Gives what is written to the log to the command's errors.</summary>
    private sealed class Lines(TextWriter output) : MemoryStream
    {
        public override void Write(ReadOnlySpan<byte> buffer) => output.Write(System.Text.Encoding.UTF8.GetString(buffer));
    }
}
