using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using Proxy.Tests.Dialects;

namespace Proxy.Tests.Fuzz;

/// <summary>What is fed with changed inputs: its seeds, and a check that fails if an input has no meaning, or two.</summary>
internal sealed record FuzzTarget(string Name, IReadOnlyList<byte[]> Seeds, Action<byte[]> Check);

/// <summary>
/// Parsers of what others send, fed with changed inputs. Each target checks what an input means, most by a second reader, and not only that nothing is thrown.
/// <c>PROXY_FUZZ_MINUTES</c> is how long each target runs, with inputs of its own each time; <c>PROXY_FUZZ_SEED</c> repeats a run. Without it, each gets a few
/// that are always the same, so that what is looked for by chance does not fail another change. An input that fails is written to
/// <c>.build/fuzz</c>; put it into <c>Corpus/TARGET</c> when it is mended: those inputs are checked first, in every run.
/// </summary>
public sealed class FuzzTests
{
    private const int Few = 1000, UsualSeed = 20261201;

    private static readonly TimeSpan Long = TimeSpan.FromMinutes(
        double.TryParse(Environment.GetEnvironmentVariable("PROXY_FUZZ_MINUTES"), CultureInfo.InvariantCulture, out var minutes) ? minutes : 0);

    private static readonly int Seed =
        int.TryParse(Environment.GetEnvironmentVariable("PROXY_FUZZ_SEED"), CultureInfo.InvariantCulture, out var seed) ? seed
            : Long > TimeSpan.Zero ? Environment.TickCount : UsualSeed;

    private static readonly Dictionary<string, FuzzTarget> Targets =
        RequestTargets.All.Concat(StreamTargets.All).Concat(OtherTargets.All).ToDictionary(static target => target.Name);

    public static TheoryData<string> Names { get; } = [.. Targets.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Changed_inputs_mean_one_thing_or_are_refused(string name)
    {
        var target = Targets[name];
        foreach (var (input, label) in Corpus(name)) Check(target, input, label);

        var random = new Random(Seed);
        var (start, tried) = (Stopwatch.GetTimestamp(), 0L);
        do
        {
            Check(target, Mutation.Of(target.Seeds, random), $"seed {Seed}, input {tried}");
            tried++;
        }
        while (Long > TimeSpan.Zero ? Stopwatch.GetElapsedTime(start) < Long : tried < Few);

        TestContext.Current.TestOutputHelper?.WriteLine($"{name}: {tried} inputs, seed {Seed}");
        if (Long > TimeSpan.Zero)
            Console.WriteLine($"{name}: {tried} inputs in {Stopwatch.GetElapsedTime(start).TotalMinutes:F1} minutes, seed {Seed}, 0 findings");
    }

    private static void Check(FuzzTarget target, byte[] input, string label)
    {
        try
        {
            target.Check([.. input]); // a copy: a reader that writes to its input must not hide it
        }
        catch (Exception problem)
        {
            var folder = Directory.CreateDirectory(Path.Combine(Wire.Root, ".build", "fuzz", target.Name)).FullName;
            var file = Path.Combine(folder, Convert.ToHexStringLower(SHA256.HashData(input))[..12]);
            File.WriteAllBytes(file, input);
            throw new InvalidOperationException($"{target.Name}, {label}, {Path.GetRelativePath(Wire.Root, file)}: {problem.Message}", problem);
        }
    }

    private static IEnumerable<(byte[] Input, string Label)> Corpus(string name)
    {
        var folder = Path.Combine(Wire.Root, "src", "Proxy.Tests", "Fuzz", "Corpus", name);
        if (!Directory.Exists(folder)) return [];
        return Directory.GetFiles(folder).Order(StringComparer.Ordinal).Select(static file => (File.ReadAllBytes(file), Path.GetFileName(file)));
    }
}
