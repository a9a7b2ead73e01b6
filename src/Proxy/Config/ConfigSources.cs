namespace Proxy.Config;

/// <summary>Everything outside the file that the configuration depends on, so that reading it can be tested without a machine.</summary>
internal sealed record ConfigSources
{
    /// <summary>Value of an environment variable, null where it is not set.</summary>
    public Func<string, string?> Environment { get; init; } = System.Environment.GetEnvironmentVariable;

    /// <summary>Content of a file, by absolute path. Throws <see cref="IOException"/> or <see cref="UnauthorizedAccessException"/>.</summary>
    public Func<string, string> ReadText { get; init; } = TextFile.Read;

    /// <summary>Whether there is a folder at an absolute path.</summary>
    public Func<string, bool> HasFolder { get; init; } = Directory.Exists;

    /// <summary>Why a model cannot run in this process; null where it can.</summary>
    public Func<InferenceModelConfig, string?> ModelProblem { get; init; } = static _ => "this build of proxy runs no models in its own process";

    /// <summary>Whether an address is one of this machine's.</summary>
    public Func<System.Net.IPAddress, bool> IsOwnAddress { get; init; } = OwnListener.IsOfThisMachine;

    /// <summary>This machine's name.</summary>
    public string HostName { get; init; } = System.Net.Dns.GetHostName();

    /// <summary>Folder that relative paths start from: the one the file is in.</summary>
    public string Folder { get; init; } = Directory.GetCurrentDirectory();

    /// <summary>Addresses of the command line. They replace the file's, and every rule holds for them too.</summary>
    public IReadOnlyList<string>? Listen { get; init; }
}
