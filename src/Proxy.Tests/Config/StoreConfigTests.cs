using Proxy.Config;

namespace Proxy.Tests.Config;

public sealed class StoreConfigTests
{
    [Fact]
    public void No_section_There_is_no_store() => Assert.Null(Toml.Good("").Store);

    [Fact]
    public void Empty_section_Is_SQLite_in_the_state_folder() =>
        Assert.Equal(new StoreConfig { Kind = "sqlite", File = "/s/proxy.db" }, Toml.Good("[store]\n", Machine("STATE_DIRECTORY", "/s:/t")).Store);

    [Fact]
    public void No_state_folder_SQLite_is_refused() =>
        Assert.Contains("STATE_DIRECTORY", Assert.Single(ConfigReader.Read("[store]\n", Machine("A", "b")).Problems).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("kind = \"sqlite\"\nurl = \"postgres://x\"", "SQLite needs no url")]
    [InlineData("kind = \"postgres\"", "set DATABASE_URL")]
    [InlineData("kind = \"mysql\"", "write one of \"sqlite\", \"postgres\"")]
    [InlineData("responses_ttl = \"a month\"", "such as \"30d\"")]
    [InlineData("responses_ttl = 30", "such as \"30d\"")]
    [InlineData("responses_ttl = \"3651d\"", "at most 3650")]
    [InlineData("responses_ttl = \"-1d\"", "such as \"30d\"")]
    [InlineData("path = \"/x\"", "proxy.db in the state directory")]
    public void Section_that_cannot_be_meant_Is_refused(string lines, string said) => Assert.Contains(
        ConfigReader.Read($"[store]\n{lines}\n", Machine("STATE_DIRECTORY", "/s")).Problems,
        problem => problem.Message.Contains(said, StringComparison.Ordinal));

    [Theory]
    [InlineData("30d", 720)]
    [InlineData("12h", 12)]
    [InlineData("3650d", 87600)]
    public void Time_that_answers_are_kept_Is_read(string text, int hours) => Assert.Equal(
        TimeSpan.FromHours(hours), Toml.Good($"[store]\nresponses_ttl = \"{text}\"\n", Machine("STATE_DIRECTORY", "/s")).Store!.ResponsesTtl);

    [Fact]
    public void Database_is_in_the_environment_It_is_the_store_with_and_without_a_file()
    {
        var machine = Machine("DATABASE_URL", "postgres://db");
        var expected = new StoreConfig { Kind = "postgres", Url = "postgres://db" };

        Assert.Equal(expected, Toml.Good("", machine).Store);
        Assert.Equal(expected, ConfigReader.ReadEnvironment(machine, out _).Store);
        Assert.Equal("postgres://other", Toml.Good("[store]\nurl = \"postgres://other\"\n", machine).Store?.Url);
    }

    [Fact]
    public void Key_is_an_admins_It_is_one() => Assert.True(
        Assert.Single(Toml.Good($"[[auth.keys]]\nname = \"ops\"\nsha256 = \"{new string('a', 64)}\"\nadmin = true\n").Auth.Keys).Admin);

    private static ConfigSources Machine(string name, string value) => Toml.Machine(new() { [name] = value });
}
