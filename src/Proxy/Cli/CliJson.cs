using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Proxy.Config;

namespace Proxy.Cli;

/// <summary>The output of <c>check --json</c>.</summary>
internal sealed record CheckResult(bool Ok, string? File, IReadOnlyList<ProblemRow> Problems)
{
    /// <summary>Prefixes that do not get models that other hosts list.</summary>
    public IReadOnlyList<OverruledRow>? Overruled { get; init; }

    /// <summary>What does not work although the configuration is valid.</summary>
    public IReadOnlyList<string>? Warnings { get; init; }
}

/// <summary>A <see cref="Backends.OverruledPrefix"/> as JSON.</summary>
internal sealed record OverruledRow(string Prefix, string Backend, string By, IReadOnlyList<string> Models)
{
    public static IReadOnlyList<OverruledRow>? From(IReadOnlyList<Backends.OverruledPrefix> found) =>
        found.Count == 0 ? null : [.. found.Select(static one => new OverruledRow(one.Prefix, one.Backend, one.By, one.Models))];

    public string InWords() => new Backends.OverruledPrefix(Prefix, Backend, By, Models).ToString();
}

/// <summary>A <see cref="ConfigProblem"/> as JSON, on the admin socket and with <c>--json</c>.</summary>
internal sealed record ProblemRow(string Key, int Line, string Message)
{
    public static ProblemRow From(ConfigProblem problem) => new(problem.Key, problem.Line, problem.Message);

    public ConfigProblem ToProblem() => new(Key, Line, Message);
}

/// <summary>The admin socket's answer to <c>POST /reload</c>. <paramref name="File"/>: the file that was read, if the server reports it.</summary>
internal sealed record ReloadResult(bool Ok, IReadOnlyList<ProblemRow>? Problems, string? File = null)
{
    /// <summary>The changed settings that take effect at the next start only.</summary>
    public IReadOnlyList<string>? NeedsRestart { get; init; }
}

/// <summary>A line of the admin socket's answer to <c>POST /handoff</c>.</summary>
internal sealed record HandoffLine(string Event, int? Pid, int? Calls, string? Reason);

/// <summary>The admin socket's answer to <c>GET /calls</c>, and the output of <c>calls --json</c>.</summary>
internal sealed record CallTable(IReadOnlyList<CallRow> Calls);

/// <summary>A running call. Values that are not known yet are left out. <paramref name="Answering"/>: its answer has begun.</summary>
internal sealed record CallRow(string TraceId, string Surface, bool Stream, bool Answering, long RunningMs)
{
    public string? CorrelationId { get; init; }

    public string? Session { get; init; }

    public string? Key { get; init; }

    public string? Model { get; init; }

    public string? Served { get; init; }

    public string? Backend { get; init; }
}

/// <summary>The admin socket's answer to <c>GET /streams</c>, and the output of <c>streams --json</c>.</summary>
internal sealed record StreamTable(IReadOnlyList<StreamRow> Streams);

/// <summary>An answer that is kept. <paramref name="Created"/> in Unix seconds; <paramref name="Status"/>: waiting, running, finished or failed.</summary>
internal sealed record StreamRow(string Id, long Created, string Owner, string Surface, string Model, string Status, long Bytes, long AgeMs);

/// <summary>The admin socket's answer to <c>DELETE /streams/{id}</c>, and the output of <c>stream --cancel --json</c>.</summary>
internal sealed record StreamDeleted(string? Id, bool Cancelled)
{
    public AdminError? Error { get; init; }
}

/// <summary>A refusal on the admin socket.</summary>
internal sealed record AdminRefusal(AdminError? Error);

internal sealed record AdminError(string Message);

/// <summary>The admin socket's answer to <c>POST /drain</c>.</summary>
internal sealed record DrainResult(int Running);

/// <summary>The admin socket's answer to <c>GET /models</c>, and the output of <c>models --json</c>.</summary>
internal sealed record ModelTable(IReadOnlyList<ModelRow> Models)
{
    /// <summary>Prefixes that do not get models that other hosts list.</summary>
    public IReadOnlyList<OverruledRow>? Overruled { get; init; }
}

/// <summary>One model at one backend. Unknown values are left out; no <paramref name="Slots"/> means no limit.</summary>
internal sealed record ModelRow(
    string Model, string Backend, int? ContextLength, bool? Loaded, int? Slots, int? InUse, string Health, IReadOnlyList<string> Dialects)
{
    /// <summary>The model that an alias stands for.</summary>
    public string? Resolved { get; init; }

    /// <summary>The longest context that the host could give the model.</summary>
    public int? ContextLimit { get; init; }

    public IReadOnlyList<string>? Capabilities { get; init; }

    /// <summary>The host's program and version.</summary>
    public string? Host { get; init; }

    /// <summary>Why the backend is down.</summary>
    public string? Reason { get; init; }
}

/// <summary>The output of <c>models local --json</c>. Unknown values are left out.</summary>
internal sealed record LocalModelTable(string Folder, IReadOnlyList<LocalModelRow> Models);

/// <summary>One downloaded model.</summary>
internal sealed record LocalModelRow(string Model, string Path, long SizeBytes)
{
    public string? Kind { get; init; }

    public int? Dimensions { get; init; }

    public string? Variant { get; init; }

    /// <summary>Why it cannot be served.</summary>
    public string? Problem { get; init; }
}

/// <summary>The output of <c>models pull --json</c>. <paramref name="Pulled"/>: false if all files were there already.</summary>
internal sealed record PullResult(
    string Model, string Commit, string Path, string Kind, string Variant, long SizeBytes, bool Pulled, IReadOnlyList<PulledFileRow> Files)
{
    public int? Dimensions { get; init; }
}

internal sealed record PulledFileRow(string Path, long SizeBytes);

/// <summary>The output of <c>keys new --json</c>. The key is stored nowhere.</summary>
internal sealed record NewKey(string Name, string Key, string Sha256, string Toml);

/// <summary>The admin socket's answer to <c>GET /usage</c>, and the output of <c>usage --json</c>. Either an error, or all the rest.</summary>
internal sealed record UsageTable(string? From, string? To, IReadOnlyList<UsageLine>? Usage, UsageTotal? Total)
{
    public string? Error { get; init; }
}

/// <summary>The finished calls of an owner and model on a day (of UTC), and their tokens.</summary>
internal sealed record UsageLine(string Day, string Owner, string Model, long Requests, long InputTokens, long OutputTokens);

internal sealed record UsageTotal(long Requests, long InputTokens, long OutputTokens);

/// <summary>The admin socket's answer to <c>POST /forget</c>, and the output of <c>forget --json</c>: how many rows were deleted, or an error.</summary>
internal sealed record ForgetResult(long? Deleted)
{
    public string? Error { get; init; }
}

/// <summary>The output of <c>doctor --json</c>. <paramref name="Ok"/>: nothing failed.</summary>
internal sealed record DoctorReport(bool Ok, IReadOnlyList<DoctorRow> Checks);

/// <summary>One finding. <paramref name="Mark"/>: ok, warn or fail. <paramref name="Ms"/>: how long its check took.</summary>
internal sealed record DoctorRow(string Area, string Mark, string Text, long Ms)
{
    /// <summary>What to do about it.</summary>
    public string? Advice { get; init; }
}

/// <summary>The output of <c>version --json</c>.</summary>
internal sealed record VersionInfo(string Version, string Runtime, string Platform);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, WriteIndented = true)]
[JsonSerializable(typeof(HandoffLine))]
[JsonSerializable(typeof(CheckResult))]
[JsonSerializable(typeof(ReloadResult))]
[JsonSerializable(typeof(CallTable))]
[JsonSerializable(typeof(StreamTable))]
[JsonSerializable(typeof(StreamDeleted))]
[JsonSerializable(typeof(AdminRefusal))]
[JsonSerializable(typeof(DrainResult))]
[JsonSerializable(typeof(ModelTable))]
[JsonSerializable(typeof(LocalModelTable))]
[JsonSerializable(typeof(PullResult))]
[JsonSerializable(typeof(NewKey))]
[JsonSerializable(typeof(UsageTable))]
[JsonSerializable(typeof(ForgetResult))]
[JsonSerializable(typeof(DoctorReport))]
[JsonSerializable(typeof(VersionInfo))]
internal sealed partial class CliJson : JsonSerializerContext
{
    /// <summary>For terminals and jq, not for web pages: "é" and "+" are not escaped.</summary>
    public static CliJson Print => Relaxed.Context;

    private static class Relaxed
    {
        public static readonly CliJson Context = new(new JsonSerializerOptions(Default.Options) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
    }
}
