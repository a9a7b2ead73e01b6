using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Proxy.Config;

namespace Proxy.Cli;

/// <summary>What <c>check --json</c> prints.</summary>
internal sealed record CheckResult(bool Ok, string? File, IReadOnlyList<ProblemRow> Problems)
{
    /// <summary>Prefixes that do not get what other hosts list.</summary>
    public IReadOnlyList<OverruledRow>? Overruled { get; init; }
}

/// <summary>A <see cref="Backends.OverruledPrefix"/> on the wire.</summary>
internal sealed record OverruledRow(string Prefix, string Backend, string By, IReadOnlyList<string> Models)
{
    public static IReadOnlyList<OverruledRow>? From(IReadOnlyList<Backends.OverruledPrefix> found) =>
        found.Count == 0 ? null : [.. found.Select(static one => new OverruledRow(one.Prefix, one.Backend, one.By, one.Models))];

    public string InWords() => new Backends.OverruledPrefix(Prefix, Backend, By, Models).ToString();
}

/// <summary>A <see cref="ConfigProblem"/> on the wire: of the admin socket and of <c>--json</c>.</summary>
internal sealed record ProblemRow(string Key, int Line, string Message)
{
    public static ProblemRow From(ConfigProblem problem) => new(problem.Key, problem.Line, problem.Message);

    public ConfigProblem ToProblem() => new(Key, Line, Message);
}

/// <summary>The admin socket's answer to <c>POST /reload</c>. <paramref name="File"/>: what was read, where the server says so.</summary>
internal sealed record ReloadResult(bool Ok, IReadOnlyList<ProblemRow>? Problems, string? File = null)
{
    /// <summary>The parts of the file that take effect at the next start only.</summary>
    public IReadOnlyList<string>? NeedsRestart { get; init; }
}

/// <summary>The admin socket's answer to <c>GET /calls</c>, and what <c>calls --json</c> prints.</summary>
internal sealed record CallTable(IReadOnlyList<CallRow> Calls);

/// <summary>One call that runs. What is not known yet is left out. <paramref name="Answering"/>: its answer has begun.</summary>
internal sealed record CallRow(string TraceId, string Surface, bool Stream, bool Answering, long RunningMs)
{
    public string? CorrelationId { get; init; }

    public string? Session { get; init; }

    public string? Key { get; init; }

    public string? Model { get; init; }

    public string? Served { get; init; }

    public string? Backend { get; init; }
}

/// <summary>The admin socket's answer to <c>POST /drain</c>.</summary>
internal sealed record DrainResult(int Running);

/// <summary>The admin socket's answer to <c>GET /models</c>, and what <c>models --json</c> prints.</summary>
internal sealed record ModelTable(IReadOnlyList<ModelRow> Models)
{
    /// <summary>Prefixes that do not get what other hosts list.</summary>
    public IReadOnlyList<OverruledRow>? Overruled { get; init; }
}

/// <summary>One model at one backend. What is not known is left out; no <paramref name="Slots"/> means no limit.</summary>
internal sealed record ModelRow(
    string Model, string Backend, int? ContextLength, bool? Loaded, int? Slots, int? InUse, string Health, IReadOnlyList<string> Dialects)
{
    /// <summary>The model that an alias stands for.</summary>
    public string? Resolved { get; init; }

    /// <summary>The longest context that the host could run it with.</summary>
    public int? ContextLimit { get; init; }

    public IReadOnlyList<string>? Capabilities { get; init; }

    /// <summary>What program the host is, and of which version.</summary>
    public string? Host { get; init; }

    /// <summary>Why the backend is down, in words.</summary>
    public string? Reason { get; init; }
}

/// <summary>What <c>models local --json</c> prints. What is not known is left out.</summary>
internal sealed record LocalModelTable(string Folder, IReadOnlyList<LocalModelRow> Models);

/// <summary>One model that was fetched.</summary>
internal sealed record LocalModelRow(string Model, string Path, long SizeBytes)
{
    public string? Kind { get; init; }

    public int? Dimensions { get; init; }

    public string? Variant { get; init; }

    /// <summary>Why it cannot be served.</summary>
    public string? Problem { get; init; }
}

/// <summary>What <c>models pull --json</c> prints. <paramref name="Pulled"/>: false where all of it was there already.</summary>
internal sealed record PullResult(
    string Model, string Commit, string Path, string Kind, string Variant, long SizeBytes, bool Pulled, IReadOnlyList<PulledFileRow> Files)
{
    public int? Dimensions { get; init; }
}

internal sealed record PulledFileRow(string Path, long SizeBytes);

/// <summary>What <c>keys new --json</c> prints. The key is nowhere else.</summary>
internal sealed record NewKey(string Name, string Key, string Sha256, string Toml);

/// <summary>What <c>version --json</c> prints.</summary>
internal sealed record VersionInfo(string Version, string Runtime, string Platform);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, WriteIndented = true)]
[JsonSerializable(typeof(CheckResult))]
[JsonSerializable(typeof(ReloadResult))]
[JsonSerializable(typeof(CallTable))]
[JsonSerializable(typeof(DrainResult))]
[JsonSerializable(typeof(ModelTable))]
[JsonSerializable(typeof(LocalModelTable))]
[JsonSerializable(typeof(PullResult))]
[JsonSerializable(typeof(NewKey))]
[JsonSerializable(typeof(VersionInfo))]
internal sealed partial class CliJson : JsonSerializerContext
{
    /// <summary>For terminals and jq, not for web pages: "é" and "+" stay themselves.</summary>
    public static CliJson Print => Relaxed.Context;

    private static class Relaxed
    {
        public static readonly CliJson Context = new(new JsonSerializerOptions(Default.Options) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
    }
}
