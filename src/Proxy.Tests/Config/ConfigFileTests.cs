using System.Text;
using Proxy.Config;

namespace Proxy.Tests.Config;

public sealed class ConfigFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("proxy-config-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void The_named_file_Comes_before_the_environments_and_that_before_the_users()
    {
        var xdg = Path.Combine(_folder, "xdg", "proxy", "config.toml");
        Directory.CreateDirectory(Path.GetDirectoryName(xdg)!);
        File.WriteAllText(xdg, "");
        var environment = new Dictionary<string, string> { ["PROXY_CONFIG"] = "/named/by/environment.toml",
            ["XDG_CONFIG_HOME"] = Path.Combine(_folder, "xdg") };

        Assert.Equal("/named.toml", ConfigFile.Find("/named.toml", environment.GetValueOrDefault));
        Assert.Equal("/named/by/environment.toml", ConfigFile.Find(null, environment.GetValueOrDefault));
        environment.Remove("PROXY_CONFIG");
        Assert.Equal(xdg, ConfigFile.Find(null, environment.GetValueOrDefault));
    }

    [Fact]
    public void A_named_file_that_is_not_there_Is_a_problem_and_nothing_takes_its_place()
    {
        var result = ConfigFile.Load(Path.Combine(_folder, "none.toml"), new());

        Assert.Null(result.Config);
        Assert.Equal("there is no such file", Assert.Single(result.Problems).Message);
    }

    [Fact]
    public void Relative_paths_Start_from_the_files_folder()
    {
        File.WriteAllText(Path.Combine(_folder, "key"), "secret");
        var file = Path.Combine(_folder, "config.toml");
        File.WriteAllText(file, "[[backends]]\nname = \"g\"\nurl = \"http://h\"\nkey_file = \"./key\"");

        Assert.Equal("secret", ConfigFile.Load(file, new()).Config!.Backends[0].Key);
    }

    [Fact]
    public void Reading_again_Sees_the_changed_file_and_keeps_the_overrides()
    {
        var file = Path.Combine(_folder, "config.toml");
        File.WriteAllText(file, "[server]\nqueue = 1");
        var sources = new ConfigSources { Listen = ["127.0.0.1:9"] };
        var loaded = new LoadedConfig(file, ConfigFile.Load(file, sources).Config!) { Sources = sources };

        File.WriteAllText(file, "[server]\nqueue = 2");
        var again = loaded.Reread().Config!.Server;
        File.WriteAllText(file, "[server]\nqueue = \"x\"");
        var bad = loaded.Reread();

        Assert.Equal((2, "127.0.0.1:9"), (again.Queue, Assert.Single(again.Listen)));
        Assert.Null(bad.Config);
        Assert.Equal($"{file}:2: server.queue: is a text; write a whole number without quotes", Assert.Single(bad.Problems).In(file));
    }

    [Theory]
    [InlineData("PROXY_ADMIN_SOCKET=/a.sock RUNTIME_DIRECTORY=/run/proxy", "/a.sock")]
    [InlineData("RUNTIME_DIRECTORY=/run/proxy:/run/other XDG_RUNTIME_DIR=/run/user/1", "/run/proxy/admin.sock")]
    [InlineData("XDG_RUNTIME_DIR=/run/user/1 RUNTIME_DIRECTORY=", "/run/user/1/proxy/admin.sock")]
    public void The_admin_socket_Is_where_both_sides_look(string environment, string path)
    {
        var variables = environment.Split(' ').Select(pair => pair.Split('=')).ToDictionary(pair => pair[0], pair => pair[1]);

        Assert.Equal(path, AdminSocket.Path(variables.GetValueOrDefault));
        Assert.Equal(path, AdminSocket.Candidates(variables.GetValueOrDefault)[0]);
        Assert.Equal(variables.ContainsKey("PROXY_ADMIN_SOCKET"), !AdminSocket.Candidates(variables.GetValueOrDefault).Contains("/run/proxy/admin.sock"));
    }

    [Fact]
    public void Without_a_runtime_folder_The_admin_socket_is_in_the_users_own_of_tmp() =>
        Assert.Matches("^/tmp/proxy-[0-9]+/admin\\.sock$", AdminSocket.Path(_ => null));

    [Theory]
    [InlineData("latin1", 2)]
    [InlineData("smart quotes of Windows", 3)]
    public void A_file_that_is_not_UTF8_Is_refused_with_the_line(string kind, int line)
    {
        byte[] bytes = kind == "latin1" ? [.. "# a\n# caf"u8, 0xE9, .. "\n"u8] : [.. "[server]\n# ok é\nqueue = "u8, 0x93, .. "5"u8, 0x94];
        var path = WriteBytes("config.toml", bytes);

        var problem = Assert.Single(ConfigFile.Load(path, new ConfigSources()).Problems);

        Assert.Equal(("", line), (problem.Key, problem.Line));
        Assert.StartsWith("is not UTF-8 (byte 0x", problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Files_that_the_file_names_Are_read_as_strictly_and_all_that_are_missing_are_named()
    {
        WriteBytes("key", [0xFF]);
        var path = WriteBytes("config.toml",
            "[server.tls]\ncert = \"no-chain.pem\"\nkey = \"no-key.pem\"\n[[backends]]\nname = \"a\"\nurl = \"http://h\"\nkey_file = \"./key\""u8.ToArray());

        var problems = ConfigFile.Load(path, new ConfigSources { Environment = _ => null }).Problems;

        Assert.Equal(["server.tls.cert", "server.tls.key", "backends[0].key_file"], problems.Select(problem => problem.Key));
        Assert.EndsWith("no-chain.pem", problems[0].Message, StringComparison.Ordinal);
        Assert.EndsWith("no-key.pem", problems[1].Message, StringComparison.Ordinal);
        Assert.Contains("is not UTF-8 (byte 0xFF on line 1)", problems[2].Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_saved_with_a_mark_Is_read()
    {
        foreach (var encoding in new Encoding[] { new UTF8Encoding(true), Encoding.Unicode })
            Assert.Empty(ConfigFile.Load(WriteBytes("config.toml", [.. encoding.GetPreamble(), .. encoding.GetBytes("[server]\nqueue = 5")]),
                new ConfigSources()).Problems);
    }

    private string WriteBytes(string name, byte[] bytes)
    {
        File.WriteAllBytes(Path.Combine(_folder, name), bytes);
        return Path.Combine(_folder, name);
    }
}
